"""Imaging around label volumes: the trunk holds them, and they keep their place on any grid."""

import numpy as np
import pytest

from kits_tf.io import volume
from kits_tf.simulation.phantom import around, simulation
from kits_tf.simulation.phantom.cases import Request, make_case

SPACING_MM = (5.0, 5.0, 5.0)


def planted(shape=(32, 66, 76), solitary=False):
    """Two balls for kidneys, one with a tumor, beside the middle of a body."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    z, y, x = (c * s for c, s in zip((z, y, x), SPACING_MM, strict=True))
    labels = np.zeros(shape, np.uint8)
    middle = shape[2] * SPACING_MM[2] / 2
    for side in (-1,) if solitary else (-1, 1):
        labels[((z - 80) / 50) ** 2 + ((y - 190) / 30) ** 2 + ((x - middle - side * 72) / 30) ** 2 < 1] = 1
    labels[(z - 60) ** 2 + (y - 170) ** 2 + (x - middle + 90) ** 2 < 16**2] = 2
    return labels


def test_kidneys_look_like_kidneys_and_lie_in_fat():
    labels = planted()
    hu = around.simulate_around(labels, SPACING_MM, seed=4, case_index=2, phases=("nephrographic",))
    assert hu.shape == labels.shape and hu.dtype == np.int16
    assert 85 < np.median(hu[labels == 1]) < 210
    assert 10 < np.median(hu[labels == 2]) < 160
    assert hu[0, 0, 0] < -900
    outside = hu[labels == 0]
    assert (outside < -900).mean() > 0.1 and (outside > -50).mean() > 0.1


def test_it_is_repeatable_and_differs_by_case():
    labels = planted((8, 40, 44))
    first = around.simulate_around(labels, SPACING_MM, 1, 1)
    np.testing.assert_array_equal(first, around.simulate_around(labels, SPACING_MM, 1, 1))
    assert (first != around.simulate_around(labels, SPACING_MM, 1, 2)).any()


@pytest.mark.parametrize("labels", [planted(solitary=True), np.zeros((6, 40, 44), np.uint8)])
def test_one_kidney_or_none(labels):
    labels = labels[::3]
    assert around.simulate_around(labels, (15.0, 5.0, 5.0), 0, 0).shape == labels.shape


def test_the_cavity_holds_all_of_the_foreground():
    labels = planted()
    points = around.coarse_points(labels, SPACING_MM)
    middle = around.spine_position(points, labels.shape, SPACING_MM)
    frame = around.fit_frame(points - middle, labels.shape, SPACING_MM, np.random.default_rng(0))
    assert max(around.excess(frame, points - middle)) <= 0
    # The spine comes to lie in the middle between the two.
    assert middle[2] == pytest.approx(76 * 5.0 / 2, abs=12)


@pytest.mark.parametrize("qform_only", [False, True])
def test_files_keep_grid_header_and_labels(tmp_path, qform_only):
    import nibabel

    labels = planted((5, 40, 50))
    affine = simulation.kits19_affine(SPACING_MM)
    affine[:3, 3] = (7, -3, 11)
    image = nibabel.Nifti1Image(labels.astype(np.uint16 if qform_only else np.uint8), affine)
    if qform_only:
        image.set_sform(None, code=0)
        image.set_qform(affine, code=1)
    source = tmp_path / "masks" / "case_00123" / "segmentation.nii.gz"
    source.parent.mkdir(parents=True)
    nibabel.save(image, source)
    make_case(Request(str(tmp_path / "out"), 0, {}, str(tmp_path / "masks")), 123)
    written = tmp_path / "out" / "case_00123"
    assert (written / "segmentation.nii.gz").read_bytes() == source.read_bytes()
    imaging = nibabel.load(written / "imaging.nii.gz")
    assert imaging.shape == labels.shape and imaging.get_data_dtype() == np.int16
    np.testing.assert_allclose(imaging.affine, image.affine)
    for field in ("sform_code", "qform_code", "pixdim"):
        np.testing.assert_array_equal(imaging.header[field], image.header[field])


def test_labels_stored_in_other_axes_come_back_in_them(tmp_path):
    import nibabel

    labels = planted((5, 40, 50))
    turned = np.ascontiguousarray(labels.transpose(2, 1, 0)[::-1])  # axes R, P, I
    affine = np.array([[5.0, 0, 0, 0], [0, -5, 0, 0], [0, 0, -5, 0], [0, 0, 0, 1]])
    source = tmp_path / "masks" / "case_00001" / "segmentation.nii.gz"
    source.parent.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(turned, affine), source)
    make_case(Request(str(tmp_path / "out"), 0, {}, str(tmp_path / "masks")), 1)
    imaging = tmp_path / "out" / "case_00001" / "imaging.nii.gz"
    assert nibabel.load(imaging).shape == turned.shape
    read = volume.read_volume(imaging)
    np.testing.assert_array_equal(read.hu, around.simulate_around(labels, read.spacing_mm, 0, 1))


@pytest.mark.shared
def test_a_real_label_volume(shared_data):
    labels, grid = volume.read_labels(shared_data / "kits19_masks" / "case_00015" / "segmentation.nii.gz")
    labels, spacing_mm = labels[::3, ::6, ::6], tuple(np.array(grid.spacing_mm) * (3, 6, 6))
    hu = around.simulate_around(labels, spacing_mm, 0, 15, ("nephrographic",))
    assert 85 < np.median(hu[labels == 1]) < 210
