"""Prove that planted tumors keep their donor's shape and place, and change nothing else."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from experiments.default_weights import plant
from kits_tf.io.volume import Volume, write_labels
from kits_tf.simulation.fields import random_generator
from tests.experiments import painted

DONOR_SPACING_MM = (4.0, 1.6, 1.6)
DONOR_SHAPE = (30, 110, 150)
KIDNEY_MM, TUMOR_MM, TUMOR_RADIUS_MM = (60.0, 90.0, 70.0), (72.0, 90.0, 46.0), 11.0  # lower, lateral, half outside
TUMOR_ML = 4 / 3 * np.pi * TUMOR_RADIUS_MM**3 / 1000


def distance_mm(shape, spacing_mm, centre):
    axes = ((np.arange(n) + 0.5) * s - c for n, s, c in zip(shape, spacing_mm, centre, strict=True))
    return np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A folder of one case with a tumor in the right kidney, one in two pieces and one without."""
    folder = tmp_path_factory.mktemp("shapes")
    kidney = distance_mm(DONOR_SHAPE, DONOR_SPACING_MM, KIDNEY_MM) < painted.RADIUS_MM
    tumor = distance_mm(DONOR_SHAPE, DONOR_SPACING_MM, TUMOR_MM) < TUMOR_RADIUS_MM
    second = distance_mm(DONOR_SHAPE, DONOR_SPACING_MM, (44.0, 90.0, 94.0)) < TUMOR_RADIUS_MM
    for number, tumors in enumerate((tumor, tumor | second, np.zeros_like(tumor))):
        labels = np.where(tumors, 2, kidney).astype(np.uint8)
        path = folder / f"case_{number:05d}" / "segmentation.nii.gz"
        path.parent.mkdir()
        write_labels(labels, Volume(np.zeros(DONOR_SHAPE, np.int16), spacing_mm=DONOR_SPACING_MM), path)
    return folder


@pytest.fixture(scope="module")
def case():
    """The made-up CT, but with fat around its kidneys."""
    made = painted.case()
    fat = ~made.kidney & (ndimage.distance_transform_edt(~made.kidney, made.spacing_mm) < 16)
    return dataclasses.replace(made, hu=np.where(fat, made.hu - 140, made.hu))


@pytest.fixture(scope="module")
def made(case, shapes):
    (one,) = plant.planted(case, "a", shapes, 3)
    return one


def test_the_only_donor_in_one_piece_keeps_volume_and_place(case, made):
    """Of its 11 mm, as much lies outside; on whichever side, it is lateral and 12 mm towards the feet."""
    assert made.donor == "case_00000"
    tumor = made.case.tumor
    assert tumor.sum() * np.prod(case.spacing_mm) / 1000 == pytest.approx(TUMOR_ML, rel=0.08)
    centre = (np.argwhere(tumor).mean(0) + 0.5) * case.spacing_mm
    kidney = min(painted.CENTRES_MM, key=lambda one: abs(one[2] - centre[2]))
    middle = np.mean([one[2] for one in painted.CENTRES_MM])
    offset = centre - kidney
    assert offset[2] * np.sign(kidney[2] - middle) == pytest.approx(24, abs=5)
    assert offset[0] == pytest.approx(12, abs=5) and offset[1] == pytest.approx(0, abs=3)
    donors = distance_mm(DONOR_SHAPE, DONOR_SPACING_MM, KIDNEY_MM) < painted.RADIUS_MM
    theirs = distance_mm(DONOR_SHAPE, DONOR_SPACING_MM, TUMOR_MM) < TUMOR_RADIUS_MM
    assert np.mean(~case.kidney[tumor]) == pytest.approx(np.mean(~donors[theirs]), abs=0.15)


def test_nothing_changes_beyond_the_edge(case, made):
    np.testing.assert_array_equal(made.case.kidney, case.kidney | made.case.tumor)
    far = ndimage.distance_transform_edt(~made.case.tumor, case.spacing_mm) > 10
    np.testing.assert_array_equal(made.case.hu[far], case.hu[far])
    near = ~far & (ndimage.distance_transform_edt(~made.case.tumor) > 3)
    assert np.abs(made.case.hu - case.hu)[near].mean() < 1
    inside = ndimage.binary_erosion(made.case.tumor)
    assert np.median(made.case.hu[inside]) - 150 == pytest.approx(made.contrast_hu, abs=10)


def test_tumors_are_the_same_each_time_for_a_name(case, made, shapes):
    (again,) = plant.planted(case, "a", shapes, 3)
    np.testing.assert_array_equal(again.case.hu, made.case.hu)
    (other,) = plant.planted(case, "b", shapes, 3)
    assert not np.array_equal(other.case.hu, made.case.hu)


def test_no_tumor_replaces_bone(case, shapes):
    bony = dataclasses.replace(case, hu=np.where(case.kidney, case.hu, 400).astype(np.int16))
    assert not list(plant.planted(bony, "a", shapes, 1))


def test_noise_has_the_strength_and_the_grain_of_the_ct():
    """White noise of 20 HU, blurred in slices to a known correlation of neighbours."""
    rng = np.random.default_rng(0)
    hu = 60 + ndimage.gaussian_filter(rng.normal(0, 40, (12, 96, 96)), (0, 0.8, 0.8))
    found = plant.noise(hu.astype(np.int16), (10, 60, 70), random_generator(1))
    assert found.shape == (10, 60, 70) and found.std() == pytest.approx(hu.std(), rel=0.15)

    def neighbours(field, axis):
        field = np.moveaxis(field - field.mean(), axis, 0)
        return np.mean(field[1:] * field[:-1]) / np.mean(field**2)

    for axis, tolerance in ((0, 0.1), (1, 0.12), (2, 0.12)):
        assert neighbours(found, axis) == pytest.approx(neighbours(hu, axis), abs=tolerance)


def test_subtypes_are_those_of_surgical_series():
    assert sum(look.share for look in plant.LOOKS.values()) == pytest.approx(1)
    assert 0.70 <= plant.LOOKS["clear_cell"].share <= 0.75
    assert plant.LOOKS["papillary"].corticomedullary_hu[0] < plant.LOOKS["chromophobe"].corticomedullary_hu[0]
