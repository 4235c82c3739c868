"""Bad files are refused in one line naming the file, before memory is spent; odd ones are read with a warning."""

import gzip
import itertools
import os
import re
import tracemalloc

import nibabel
import numpy as np
import pytest

from kits_tf.errors import InputError
from kits_tf.io.nifti import transfer
from kits_tf.io.volume import read_labels, read_volume, working_affine, write_labels

AFFINE = working_affine((3, 0.8, 0.8))


def file_bytes(values=None, affine=AFFINE, kind=nibabel.Nifti1Image, **fields):
    """A file's bytes with header fields overwritten behind nibabel's back."""
    values = np.zeros((4, 5, 6), np.int16) if values is None else values
    image = kind(values, affine)
    content = bytearray(image.to_bytes())
    header = type(image.header)(bytes(content[: image.header.sizeof_hdr]), check=False)
    for name, value in fields.items():
        index, value = value if isinstance(value, tuple) else (..., value)
        header[name][index] = value
    return header.binaryblock + bytes(content[image.header.sizeof_hdr :])


RGB = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
NAN = np.zeros((4, 5, 6), np.float32)
NAN[1, 2, 3] = np.nan
SQUASHED = np.diag([1.0, 1.0, 0.0, 1.0])

BAD = {
    "empty": (b"", "not a NIfTI file"),
    "text": (b"patient list, nothing else " * 30, "not a NIfTI file"),
    "half_a_header": (file_bytes()[:200], "cut off"),
    "half_the_voxels": (file_bytes()[:450], "truncated"),
    "half_a_gzip": (gzip.compress(file_bytes(np.random.default_rng(0).random((9, 9, 9))))[:2000], "truncated"),
    "gzip_checksum": (gzip.compress(file_bytes())[:-8] + bytes(8), "damaged compressed data"),
    "short_voxels_in_gzip": (gzip.compress(file_bytes()[:450]), "truncated"),
    "pair_header": (file_bytes(magic=b"ni1"), "single-file NIfTI"),
    "2d": (file_bytes(np.zeros((4, 5), np.int16)), "is 2D"),
    "4d": (file_bytes(np.zeros((4, 5, 6, 2), np.int16)), "is 4D"),
    "many_axes": (file_bytes(dim=(0, 100)), "is 7D"),
    "empty_axis": (file_bytes(dim=(2, 0)), "holds no voxels"),
    "claims_more": (file_bytes(dim=(2, 500)), "truncated"),
    "claims_absurdly_more": (file_bytes(dim=(slice(1, 4), 32767)), "too large"),
    "rgb": (file_bytes(RGB), "holds colors"),
    "complex": (file_bytes(np.zeros((4, 5, 6), np.complex64)), "holds complex64"),
    "unknown_type": (file_bytes(datatype=9999), "9999"),
    "zero_spacing": (file_bytes(pixdim=(2, 0)), "unusable spacing 3, 0, 0.8 mm"),
    "negative_spacing": (file_bytes(pixdim=(2, -0.8), sform_code=0, qform_code=1), "damaged NIfTI header"),
    "microns": (file_bytes(affine=np.diag([700, 700, 3000, 1])), "unusable spacing"),
    "infinite_affine": (file_bytes(srow_x=[np.inf, 0, 0, 0]), "not finite"),
    "parallel_axes": (file_bytes(srow_x=[1, 0, 0, 0], srow_y=[1, 0, 0, 0]), "singular affine"),
    "no_orientation": (file_bytes(sform_code=0, qform_code=0), "no orientation"),
    "bad_quaternion": (file_bytes(sform_code=0, qform_code=1, quatern_b=5, quatern_c=5), "damaged NIfTI header"),
    "bad_offset": (file_bytes(vox_offset=np.nan), "damaged NIfTI header"),
    "bad_scaling": (file_bytes(scl_slope=1, scl_inter=np.nan), "damaged NIfTI header"),
    "nan_voxel": (file_bytes(NAN), "NaN or infinite"),
    "beyond_float32": (file_bytes(np.full((4, 5, 6), 1e300)), "beyond float32"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    content, reason = BAD[name]
    path = tmp_path / f"{name}.nii.gz"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=reason) as caught:
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def rotated(degrees):
    turn = nibabel.eulerangles.euler2mat(np.radians(degrees))
    return nibabel.affines.from_matvec(turn @ AFFINE[:3, :3])


def sheared(degrees):
    """`AFFINE` with slices that are shifted backwards one by one, as by a tilted gantry."""
    affine = AFFINE.copy()
    affine[1, 0] = 3 * np.tan(np.radians(degrees))
    return affine


def two_forms(sform, qform):
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), sform)
    image.set_sform(sform, code=2)
    image.set_qform(qform, code=1, strip_shears=True)
    return image.to_bytes()


ODD = {
    "usual": (file_bytes(), None),
    "qform_alone": (file_bytes(sform_code=0, qform_code=1), None),
    "both_forms": (two_forms(AFFINE, AFFINE), None),
    "both_rounded": (two_forms(AFFINE, rotated(0.3)), None),
    "negative_pixdim": (file_bytes(pixdim=(2, -0.8)), "negative spacing"),
    "trailing_bytes": (gzip.compress(file_bytes()) + b"trailing", "after the end of the compressed data"),
    "metres": (file_bytes(xyzt_units=1), "spacing 3, 0.8, 0.8 is given in metres"),
    "microns": (file_bytes(xyzt_units=3 + 8), "is given in microns; it was read as mm"),
    "no such unit": (file_bytes(xyzt_units=5), "unknown unit .5."),
    "seconds": (file_bytes(xyzt_units=2 + 8), None),
    "sheared": (two_forms(sheared(20), sheared(20)), "sheared by 20.0 degrees"),
    "hardly_sheared": (file_bytes(affine=sheared(0.4)), None),
    "spacing_differs": (two_forms(AFFINE, AFFINE @ np.diag([2, 1, 1, 1])), "sform .3, .* and qform .6,"),
    "direction_differs": (two_forms(AFFINE, AFFINE @ np.diag([-1, 1, 1, 1])), "IPL.* SPL.* contradict"),
    "damaged_qform": (file_bytes(qform_code=1, quatern_b=5, quatern_c=5), None),
    "oblique": (file_bytes(affine=rotated(30)), "oblique by 30 degrees"),
    "hardly_oblique": (file_bytes(affine=rotated(15)), None),
    "axis_turned": (two_forms(AFFINE, rotated(5)), "contradict each other"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_read_with_a_warning(tmp_path, name):
    content, warning = ODD[name]
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(content)
    volume = read_volume(path)
    _, grid = read_labels(path)
    assert grid.warnings == volume.warnings == volume.grid.warnings
    assert len(volume.warnings) == (warning is not None)
    if warning:
        assert re.search(warning, volume.warnings[0]) and "\n" not in volume.warnings[0]
    write_labels(np.zeros(volume.shape, np.uint8), volume, tmp_path / "labels.nii")
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.nii")[1].affine, volume.affine)


def test_flipped_header_bytes_never_raise_anything_else(tmp_path):
    good = file_bytes(np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    path = tmp_path / "ct.nii"
    generator = np.random.default_rng(3)
    refused = 0
    for position in range(352):
        content = bytearray(good)
        content[position] ^= generator.integers(1, 256)
        path.write_bytes(content)
        try:
            assert np.isfinite(read_volume(path).hu).all()
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 10


def test_a_missing_file_is_refused_but_not_a_wrong_name_ending(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_volume(tmp_path / "nothing.nii.gz")
    values = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    (tmp_path / "plain.nii.gz").write_bytes(file_bytes(values))
    (tmp_path / "packed.nii").write_bytes(gzip.compress(file_bytes(values)))
    np.testing.assert_array_equal(read_volume(tmp_path / "plain.nii.gz").hu, values)
    np.testing.assert_array_equal(read_volume(tmp_path / "packed.nii").hu, values)


def test_a_pipe_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "ct.nii")
    with pytest.raises(InputError, match="not a regular file"):
        read_volume(tmp_path / "ct.nii")


def test_reading_holds_little_more_than_the_volume(tmp_path):
    values = np.zeros((300, 200, 200), np.int16)
    values[::7] = 40
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / "ct.nii.gz")
    del values
    tracemalloc.start()
    volume = read_volume(tmp_path / "ct.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < volume.hu.nbytes + 20 * 2**20


def test_transfer_copies_whatever_the_memory_order():
    values = np.arange(120).reshape(4, 5, 6)
    for order, axes in itertools.product("CF", itertools.permutations(range(3))):
        target = np.zeros([values.shape[axis] for axis in axes], np.int16).transpose(np.argsort(axes))[:, ::-1]
        transfer(target, np.asarray(values, order=order)[:, ::-1])
        np.testing.assert_array_equal(target, values[:, ::-1])
