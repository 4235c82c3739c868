"""Planted kidneys and tumors are measured; tumors are found, missed or false; sides are scored apart."""

import math

import nibabel
import numpy as np
import pytest

from kits_tf.evaluation.lesions import (
    detect,
    detection_rates,
    find_tumors,
    finding,
    max_axial_diameter_mm,
    measure,
    side_scores,
    without_tumors,
)
from kits_tf.io.volume import read_labels

SPACING_MM = (4.0, 2.0, 2.0)  # a voxel has 0.016 ml


def two_kidneys():
    labels = np.zeros((10, 30, 40), np.uint8)
    labels[1:9, 5:25, 4:14] = labels[1:9, 5:25, 26:36] = 1
    return labels


@pytest.mark.parametrize("turn", [0.0, 0.4, 1.2])
@pytest.mark.parametrize("spacing_mm", [(3.0, 0.8, 0.8), (1.0, 0.5, 0.9)])
def test_an_ellipsoid_is_measured_within_a_voxel_and_two_percent(spacing_mm, turn):
    """Radii of 24, 10 and 13 mm at (30, 30, 15) mm, turned in the axial plane."""
    shape = tuple(round(60 / side) for side in spacing_mm)
    z, y, x = (index * side for index, side in zip(np.indices(shape), spacing_mm, strict=True))
    y, x = y - 30, x - 15
    y, x = y * math.cos(turn) + x * math.sin(turn), x * math.cos(turn) - y * math.sin(turn)
    labels = 2 * (((z - 30) / 24) ** 2 + (y / 10) ** 2 + (x / 13) ** 2 <= 1).astype(np.uint8)
    result = measure(labels, spacing_mm)
    (tumor,) = result["tumors"]
    assert tumor["volume_ml"] == pytest.approx(4 / 3 * math.pi * 24 * 10 * 13 / 1000, rel=0.02)
    assert tumor["volume_ml"] == result["tumor_ml"] == result["kidney_ml"]
    assert tumor["max_axial_diameter_mm"] == pytest.approx(26, abs=max(spacing_mm[1:]))


def test_a_diameter_includes_one_voxel_and_stays_in_one_slice():
    mask = np.zeros((4, 10, 10), bool)
    assert max_axial_diameter_mm(mask, (3, 0.8, 0.7)) == 0
    mask[1, 2, 2] = True
    assert max_axial_diameter_mm(mask, (3, 0.8, 0.7)) == pytest.approx(0.8)
    mask[2, 9, 9] = mask[2, 9, 0] = True
    assert max_axial_diameter_mm(mask, (3, 0.8, 0.7)) == pytest.approx(7.0)


def test_sides_follow_the_columns_right_before_left():
    labels = np.zeros((10, 20, 100), np.uint8)
    labels[2:8, 5:15, 30:40] = 1
    labels[2:8, 5:15, 55:61] = 1
    labels[3:6, 7:9, 57:59] = labels[3:6, 11:13, 57:59] = 2
    labels[4, 12, 58] = 1
    result = measure(labels, SPACING_MM)
    right, left = result["kidneys"]
    assert right == {"side": "right", "volume_ml": 9.6, "tissue_ml": 9.6, "tumor_ml": 0.0}
    assert left == {"side": "left", "volume_ml": 5.76, "tissue_ml": 5.392, "tumor_ml": 0.368}
    assert (result["kidney_ml"], result["tumor_ml"]) == pytest.approx((960 * 0.016, 23 * 0.016))
    assert result["kidney_tissue_ml"] == pytest.approx(937 * 0.016)
    assert [tumor["side"] for tumor in result["tumors"]] == ["left", "left"]
    assert [tumor["volume_ml"] for tumor in result["tumors"]] == pytest.approx([12 * 0.016, 11 * 0.016])
    assert measure(labels[..., ::-1], SPACING_MM)["tumors"][0]["side"] == "right"
    assert measure(labels * 0, SPACING_MM) == {
        "kidney_ml": 0.0, "kidney_tissue_ml": 0.0, "tumor_ml": 0.0, "kidneys": [], "tumors": []
    }  # fmt: skip


@pytest.mark.parametrize("codes", ["IPL", "RAS", "LPS", "ASL"])
def test_a_tumor_is_placed_as_nibabel_places_it_in_the_label_file(tmp_path, codes):
    """Its voxels are looked up in the file itself, stored in any orientation."""
    values = np.zeros((12, 30, 40), np.uint8)
    values[2:9, 8:14, 6:16] = 2
    affine = np.array([[0, 0, -2.0, 11], [0, -2, 0, -7], [-4, 0.5, 0, 300], [0, 0, 0, 1]])  # sheared
    image = nibabel.Nifti1Image(values, affine)
    here, there = nibabel.orientations.io_orientation(affine), nibabel.orientations.axcodes2ornt(codes)
    nibabel.save(image.as_reoriented(nibabel.orientations.ornt_transform(here, there)), tmp_path / "labels.nii")
    labels, grid = read_labels(tmp_path / "labels.nii")
    result = measure(labels, grid.spacing_mm, grid=grid)
    (tumor,) = result["tumors"]
    stored = nibabel.load(tmp_path / "labels.nii")
    found = np.argwhere(np.asarray(stored.dataobj) == 2)
    axis = next(number for number, code in enumerate(codes) if code in "SI")
    assert grid.file_axis(0) == "ijk"[axis]
    assert tumor["slices"] == [found[:, axis].min(), found[:, axis].max()]
    centroid = nibabel.affines.apply_affine(stored.affine, found.mean(axis=0))
    assert tumor["centroid_ras_mm"] == pytest.approx(centroid, abs=0.051)
    ends = np.array([found.mean(axis=0)] * 2)
    ends[:, axis] = tumor["slices"]
    assert tumor["z_mm"] == pytest.approx(nibabel.affines.apply_affine(stored.affine, ends)[:, 2], abs=0.006)
    assert result["kidney_ml"] == pytest.approx(len(found) * abs(np.linalg.det(affine)) / 1000)


def test_what_was_found_is_said_in_words():
    labels = two_kidneys()
    assert finding(measure(labels * 0, SPACING_MM)) == "no kidney found"
    assert finding(measure(labels, SPACING_MM)) == "no tumor found"
    assert finding(without_tumors(measure(labels, SPACING_MM))) == "tumors not looked for"
    labels[2, 6, 5:7] = 2
    assert finding(measure(labels, SPACING_MM)) == "no tumor of 0.1 ml or more found"
    labels[2:6, 6:11, 27:32] = 2
    assert (
        finding(measure(labels, SPACING_MM)) == "1 tumor found: left, 1.6 ml, 12.8 mm"
    )  # edges, not corners: 10 x 8 mm
    labels[2:6, 6:11, 5:12] = 2
    assert finding(measure(labels, SPACING_MM)).startswith("2 tumors found, the largest right, 2.2 ml")


def test_a_side_map_overrides_the_columns():
    labels = np.zeros((6, 10, 20), np.uint8)
    labels[1:5, 2:8, 2:8] = 1
    labels[2:4, 3:6, 3:6] = 2
    sides = np.where(labels > 0, np.uint8(2), np.uint8(0))
    sides[0] = 1  # outside the labels
    result = measure(labels, SPACING_MM, sides=sides)
    assert [found["side"] for found in result["kidneys"] + result["tumors"]] == ["left", "left"]


def test_specks_count_in_the_total_only_and_corners_connect():
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[0:3, 0:3, 0:3] = labels[3:6, 3:6, 3:6] = 2
    labels[0, 19, 19] = 2
    result = measure(labels, (2.0, 2.0, 2.0))
    assert [tumor["volume_ml"] for tumor in result["tumors"]] == pytest.approx([54 * 0.008])
    assert result["tumor_ml"] == pytest.approx(55 * 0.008)
    (tumor,) = find_tumors(labels, (2.0, 2.0, 2.0))
    assert tumor.box == (slice(0, 6),) * 3 and tumor.mask.sum() == 54


def test_found_missed_and_false():
    reference, prediction = two_kidneys(), two_kidneys()
    reference[2:7, 6:16, 5:9] = 2  # 200 voxels in the right kidney
    prediction[2, 6:16, 5:7] = 2  # 20 of them: a tenth
    reference[2:4, 6:10, 28:32] = 2  # 32 voxels, of which 3 are found
    prediction[2, 6, 28:31] = 2  # too small to count as a tumor
    prediction[7:9, 20:25, 28:33] = 2  # 50 voxels without a counterpart
    reference[8, 24, 35] = 2  # too small to count
    found = detect(prediction, reference, SPACING_MM)
    assert [(tumor["side"], tumor["found"]) for tumor in found["tumors"]] == [("right", True), ("left", False)]
    assert [tumor["volume_ml"] for tumor in found["tumors"]] == pytest.approx([3.2, 0.512])
    assert [tumor["covered"] for tumor in found["tumors"]] == pytest.approx([0.1, 3 / 32])
    assert [(tumor["side"], tumor["volume_ml"]) for tumor in found["false"]] == [("left", 0.8)]


def test_rates_by_size():
    def tumor(diameter_mm, found=True):
        return {"max_axial_diameter_mm": diameter_mm, "found": found}

    cases = [{"tumors": [tumor(40.0), tumor(41.0, False)], "false": []}, {"tumors": [tumor(90.0)], "false": [{}]}]
    rates = detection_rates(cases)
    assert (rates["tumors"], rates["found"], rates["false_per_case"]) == (3, 2, 0.5)
    assert rates["sensitivity"] == pytest.approx(2 / 3)
    assert [(size["tumors"], size["found"]) for size in rates["by_size"].values()] == [(1, 1), (1, 0), (1, 1)]
    assert detection_rates([{"tumors": [], "false": []}])["sensitivity"] is None


def test_sides_are_scored_apart():
    reference, prediction = two_kidneys(), two_kidneys()
    reference[2:7, 6:16, 28:32] = 2
    prediction[..., :20] = np.roll(prediction[..., :20], 1, axis=2)  # the right kidney, one of ten columns further
    found = side_scores(prediction, reference, SPACING_MM)
    assert found["right"] == pytest.approx({"kidney_dice": 0.9, "tumor_dice": 1.0})
    assert found["left"] == {"kidney_dice": 1.0, "tumor_dice": 0.0}
    one = np.where(np.arange(40) < 20, reference, 0).astype(np.uint8)
    assert side_scores(one, one, SPACING_MM) == {"right": {"kidney_dice": 1.0, "tumor_dice": 1.0}, "left": None}
    assert side_scores(one * 0, one * 0, SPACING_MM) == {"right": None, "left": None}
    speck = one * 0
    speck[0, 0, 39] = 1
    assert side_scores(one * 0, speck, SPACING_MM)["left"] == {"kidney_dice": 0.0, "tumor_dice": 1.0}
