"""Planted tumors are found, missed or false, and sides are scored apart."""

import numpy as np
import pytest

from kits_tf.evaluation.lesions import detect, detection_rates, side_scores

SPACING_MM = (4.0, 2.0, 2.0)  # a voxel has 0.016 ml


def two_kidneys():
    labels = np.zeros((10, 30, 40), np.uint8)
    labels[1:9, 5:25, 4:14] = labels[1:9, 5:25, 26:36] = 1
    return labels


def test_found_missed_and_false():
    reference, prediction = two_kidneys(), two_kidneys()
    reference[2:7, 6:16, 5:9] = 2  # 200 voxels, the right one
    prediction[2, 6:16, 5:7] = 2  # 20 of them: a tenth
    reference[2:4, 6:10, 28:32] = 2  # 32 voxels, missed but for 3
    prediction[2, 6, 28:31] = 2  # too small to be a tumor of its own
    prediction[7:9, 20:25, 28:33] = 2  # 50 voxels where there is nothing
    reference[8, 24, 35] = 2  # too small to count
    found = detect(prediction, reference, SPACING_MM)
    assert [(tumor["side"], tumor["found"]) for tumor in found["tumors"]] == [("right", True), ("left", False)]
    assert [tumor["volume_ml"] for tumor in found["tumors"]] == pytest.approx([3.2, 0.512])
    assert [tumor["covered"] for tumor in found["tumors"]] == pytest.approx([0.1, 3 / 32])
    assert [(tumor["side"], tumor["volume_ml"]) for tumor in found["false"]] == [("left", 0.8)]
    # rows 10 x columns 4 at 2 mm
    assert found["tumors"][0]["max_axial_diameter_mm"] == pytest.approx(np.hypot(20, 8), abs=2)


def test_rates_by_size():
    tumor = {"side": "left", "volume_ml": 1.0, "covered": 0.5}
    cases = [
        {
            "tumors": [
                tumor | {"max_axial_diameter_mm": 40.0, "found": True},
                tumor | {"max_axial_diameter_mm": 41.0, "found": False},
            ],
            "false": [],
        },
        {"tumors": [tumor | {"max_axial_diameter_mm": 90.0, "found": True}], "false": [tumor]},
    ]
    rates = detection_rates(cases)
    assert (rates["tumors"], rates["found"], rates["false_per_case"]) == (3, 2, 0.5)
    assert rates["sensitivity"] == pytest.approx(2 / 3)
    assert [(size["tumors"], size["found"]) for size in rates["by_size"].values()] == [(1, 1), (1, 0), (1, 1)]
    assert detection_rates([{"tumors": [], "false": []}])["sensitivity"] is None


def test_sides_apart():
    reference, prediction = two_kidneys(), two_kidneys()
    reference[2:7, 6:16, 28:32] = 2
    prediction[..., :20] = np.roll(prediction[..., :20], 1, axis=2)  # the right kidney one of ten columns further
    found = side_scores(prediction, reference, SPACING_MM)
    assert found["right"] == pytest.approx({"kidney_dice": 0.9, "tumor_dice": 1.0})
    assert found["left"] == {"kidney_dice": 1.0, "tumor_dice": 0.0}
    one = np.where(np.arange(40) < 20, reference, 0).astype(np.uint8)
    assert side_scores(one, one, SPACING_MM) == {"right": {"kidney_dice": 1.0, "tumor_dice": 1.0}, "left": None}
    assert side_scores(one * 0, one * 0, SPACING_MM) == {"right": None, "left": None}
    speck = one * 0
    speck[0, 0, 39] = 1
    assert side_scores(one * 0, speck, SPACING_MM)["left"] == {"kidney_dice": 0.0, "tumor_dice": 1.0}
