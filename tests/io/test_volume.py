"""Any stored orientation reads to the same working array as nibabel's canonical form, and labels go back exactly.

The other road is nibabel: files are made with `as_reoriented`, expected arrays come from `as_closest_canonical`,
whose (R, A, S) axes are the working (I, P, L) ones reversed and flipped.
"""

import itertools

import nibabel
import numpy as np
import pytest
from nibabel.eulerangles import euler2mat

from kits_tf.errors import InputError, UsageError
from kits_tf.io.volume import Volume, read_grid, read_labels, read_volume, working_affine, write_labels, write_volume

ORIENTATIONS = [
    np.column_stack([axes, flips])
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]
OBLIQUE = nibabel.affines.from_matvec(euler2mat(0.2, -0.3, 0.1) @ np.diag([0.7, 0.8, 3.0]), [12, -34, 56])
VALUES = np.random.default_rng(0).integers(0, 100, (4, 5, 6)).astype(np.int16)


def canonical(image):
    """The working array and affine by nibabel's road: (R, A, S), reversed to (S, A, R), each axis flipped."""
    image = nibabel.as_closest_canonical(image)
    array = np.asarray(image.dataobj).transpose(2, 1, 0)[::-1, ::-1, ::-1]
    flip = np.zeros((4, 4))
    for working, ras in enumerate((2, 1, 0)):
        flip[ras, working] = -1
        flip[ras, 3] = image.shape[ras] - 1
    flip[3, 3] = 1
    return array, image.affine @ flip


def saved(image, path):
    nibabel.save(image, path)
    return nibabel.load(path)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda o: "".join(nibabel.orientations.ornt2axcodes(o)))
def test_every_orientation_reads_as_nibabel_sees_it_and_is_written_back(tmp_path, orientation):
    image = saved(nibabel.Nifti1Image(VALUES, OBLIQUE).as_reoriented(orientation), tmp_path / "ct.nii")
    volume = read_volume(tmp_path / "ct.nii")
    expected, expected_affine = canonical(image)
    np.testing.assert_array_equal(volume.hu, expected)
    np.testing.assert_allclose(volume.affine, expected_affine, rtol=0, atol=1e-9)
    assert nibabel.orientations.aff2axcodes(volume.affine) == ("I", "P", "L")
    np.testing.assert_allclose(volume.spacing_mm, (3.0, 0.8, 0.7), rtol=1e-6)
    assert volume.hu.flags.c_contiguous

    write_labels(volume.hu % 3, volume, tmp_path / "labels.nii.gz")
    written = nibabel.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(image.dataobj) % 3)
    np.testing.assert_array_equal(written.affine, image.affine)
    assert written.header.get_zooms() == image.header.get_zooms()
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.nii.gz")[0], volume.hu % 3)


def test_axes_halfway_between_two_directions_are_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Image(VALUES, nibabel.affines.from_matvec(euler2mat(np.pi / 4))), tmp_path / "ct.nii")
    with pytest.raises(InputError, match="ambiguous affine"):
        read_volume(tmp_path / "ct.nii")


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_headers_with_a_qform_alone_and_a_fourth_axis_of_one_are_kept(tmp_path, kind, name):
    image = kind((VALUES % 3).astype(np.uint16)[..., None], None)
    image.set_qform(OBLIQUE, code=1)
    image.set_sform(None, code=0)
    image.header["srow_x"] = image.header["srow_y"] = image.header["srow_z"] = 0
    image = saved(image, tmp_path / name)
    labels, grid = read_labels(tmp_path / name)
    expected, expected_affine = canonical(image.slicer[..., 0])
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_allclose(grid.affine, expected_affine, atol=1e-9)
    write_labels(labels, grid, tmp_path / "out.nii")
    written = nibabel.load(tmp_path / "out.nii")
    assert type(written) is kind
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 0)
    np.testing.assert_array_equal(written.affine, image.affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(image.dataobj))


TYPES = [
    (np.int16, None, None, np.int16), (np.uint16, 1, -1024, np.int16), (np.int16, 0.5, 0, np.float32),
    (np.float64, None, None, np.int16), (np.int32, 1000, 0, np.float32), (">f4", 0.25, 3, np.float32),
]  # fmt: skip


@pytest.mark.parametrize(("stored", "slope", "intercept", "expected"), TYPES)
def test_scaled_and_wide_types_give_int16_where_values_are_whole_and_fit(tmp_path, stored, slope, intercept, expected):
    raw = np.random.default_rng(1).integers(30, 120, (3, 4, 5)).astype(stored)
    header = nibabel.Nifti1Header(endianness=">" if np.dtype(stored).byteorder == ">" else "<")
    header.set_data_dtype(stored)
    header.set_data_shape(raw.shape)
    header.set_sform(working_affine((2, 1, 1)), code=1)
    header.set_slope_inter(slope, intercept)
    (tmp_path / "ct.nii").write_bytes(header.binaryblock + bytes(4) + raw.tobytes(order="F"))
    volume = read_volume(tmp_path / "ct.nii")
    assert volume.hu.dtype == expected
    values = raw.astype(np.float64) * (1 if slope is None else slope) + (intercept or 0)
    np.testing.assert_allclose(volume.hu, values, rtol=1e-6)


def test_values_that_stop_being_whole_in_a_late_chunk_are_widened_without_loss(tmp_path, monkeypatch):
    monkeypatch.setattr("kits_tf.io.nifti._CHUNK_VOXELS", 24)
    values = np.arange(4 * 6 * 9, dtype=np.float64).reshape(4, 6, 9)
    values[..., 7] += 0.25
    image = saved(nibabel.Nifti1Image(values, np.diag([1, 2, 3, 1])), tmp_path / "ct.nii.gz")
    volume = read_volume(tmp_path / "ct.nii.gz")
    assert volume.hu.dtype == np.float32
    np.testing.assert_array_equal(volume.hu, canonical(image)[0])


def test_written_labels_are_unscaled_bytes_free_of_the_input_files_texts(tmp_path):
    image = nibabel.Nifti1Image(VALUES, OBLIQUE)
    image.header["descrip"], image.header["db_name"], image.header["cal_max"] = b"DOE^JANE", b"clinic", 300
    image.header.set_xyzt_units("mm", "sec")
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"patient 4711"))
    image.header.set_slope_inter(2, 5)
    nibabel.save(image, tmp_path / "ct.nii")
    volume = read_volume(tmp_path / "ct.nii")
    write_labels(np.ones(volume.shape, bool), volume, tmp_path / "out.nii")
    content = (tmp_path / "out.nii").read_bytes()
    assert all(text not in content for text in (b"DOE", b"clinic", b"4711"))
    header = nibabel.load(tmp_path / "out.nii").header
    assert header.get_data_dtype() == np.uint8 and header.get_xyzt_units() == ("mm", "sec")
    assert len(content) == 352 + 4 * 5 * 6 and set(content[352:]) == {1}


def test_a_file_has_no_series_to_choose(tmp_path):
    write_volume(Volume(VALUES, (3.0, 1.0, 1.0)), tmp_path / "ct.nii.gz")
    with pytest.raises(UsageError, match="^--series: "):
        read_volume(tmp_path / "ct.nii.gz", series="3")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_volume_made_from_arrays_is_written_and_read_back(tmp_path, ending):
    hu = np.random.default_rng(2).integers(-1000, 1000, (3, 4, 5)).astype(np.int16)
    made = Volume(hu, (2.5, 0.75, 0.5))
    path, again = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    write_volume(made, path)
    write_volume(made, again)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.spacing_mm == (2.5, 0.75, 0.5) and volume.voxel_ml == pytest.approx(2.5 * 0.75 * 0.5 / 1000)
    np.testing.assert_array_equal(volume.affine, made.affine)
    assert nibabel.aff2axcodes(nibabel.load(path).affine) == ("I", "P", "L")
    assert (read_grid(path).shape, read_grid(path).spacing_mm) == ((3, 4, 5), volume.grid.spacing_mm)
    assert path.read_bytes() == again.read_bytes()  # no time and no name is written
    volume.affine[1, 0] = 1.0  # sheared
    assert volume.voxel_ml == volume.grid.voxel_ml == pytest.approx(2.5 * 0.75 * 0.5 / 1000)
    assert sorted(tmp_path.iterdir()) == [path, again]  # and nothing temporary is left


def test_labels_that_cannot_be_written_are_refused(tmp_path):
    volume = Volume(np.zeros((2, 3, 4), np.int16), (1, 1, 1))
    with pytest.raises(ValueError, match="shape"):
        write_labels(np.zeros((2, 3, 5), np.uint8), volume, tmp_path / "out.nii")
    with pytest.raises(ValueError, match="whole numbers"):
        write_labels(np.full((2, 3, 4), 0.5), volume, tmp_path / "out.nii")
    with pytest.raises(InputError, match=r"must end in \.nii"):
        write_labels(np.zeros((2, 3, 4), np.uint8), volume, tmp_path / "out.mha")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), (-1, "-1"), (0.5, "0.5"), (1.002, "1.002"), (np.nan, "nan")])
def test_other_labels_are_refused(tmp_path, value, shown):
    values = np.zeros((2, 3, 4), np.float32)
    values[1, 1, 1] = value
    nibabel.save(nibabel.Nifti1Image(values, OBLIQUE), tmp_path / "labels.nii")
    with pytest.raises(InputError, match=f"holds the label {shown};"):
        read_labels(tmp_path / "labels.nii")


def test_labels_rounded_by_a_scaled_header_are_whole(tmp_path):
    nibabel.save(nibabel.Nifti1Image(VALUES % 3 * 1.00001526, working_affine((1, 1, 1))), tmp_path / "labels.nii")
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.nii")[0], VALUES % 3)
