"""Volumes, sides and diameters of planted bodies, and what is left out."""

import math

import numpy as np
import pytest

from kits_tf.evaluation.measurements import max_axial_diameter_mm, measure


def ellipsoid(shape, spacing_mm, centre_mm, radii_mm, turn=0.0):
    """A mask; `turn` rotates the ellipsoid in its axial plane, radians."""
    z, y, x = (
        (np.arange(n) * s - c).reshape([-1 if axis == own else 1 for axis in range(3)])
        for own, (n, s, c) in enumerate(zip(shape, spacing_mm, centre_mm, strict=True))
    )
    y, x = y * math.cos(turn) + x * math.sin(turn), x * math.cos(turn) - y * math.sin(turn)
    return (z / radii_mm[0]) ** 2 + (y / radii_mm[1]) ** 2 + (x / radii_mm[2]) ** 2 <= 1


@pytest.mark.parametrize("turn", [0.0, 0.4, 1.2])
@pytest.mark.parametrize("spacing_mm", [(3.0, 0.8, 0.8), (1.0, 0.5, 0.9)])
def test_planted_ellipsoids_are_measured_within_a_voxel_and_two_percent(spacing_mm, turn):
    shape = tuple(round(60 / side) for side in spacing_mm)
    labels = np.zeros(shape, np.uint8)
    labels[ellipsoid(shape, spacing_mm, (30, 30, 15), (24, 10, 13), turn)] = 2
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
    mask[2, 9, 9] = True
    assert max_axial_diameter_mm(mask, (3, 0.8, 0.7)) == pytest.approx(0.8)
    mask[2, 9, 0] = True
    assert max_axial_diameter_mm(mask, (3, 0.8, 0.7)) == pytest.approx(7.0)


def test_sides_go_by_the_columns_the_right_one_first():
    labels = np.zeros((10, 20, 40), np.uint8)
    labels[2:8, 5:15, 5:15] = 1
    labels[2:8, 5:15, 25:31] = 1
    labels[3:6, 7:9, 27:29] = 2
    labels[3:6, 11:13, 27:29] = 2
    labels[4, 12, 28] = 1
    result = measure(labels, (4.0, 2.0, 2.0))
    assert result["kidneys"] == [
        {"side": "right", "volume_ml": 600 * 0.016},
        {"side": "left", "volume_ml": 360 * 0.016},
    ]
    assert result["kidney_ml"] == pytest.approx(960 * 0.016)
    assert result["tumor_ml"] == pytest.approx(23 * 0.016)
    assert [tumor["side"] for tumor in result["tumors"]] == ["left", "left"]
    assert [tumor["volume_ml"] for tumor in result["tumors"]] == pytest.approx([12 * 0.016, 11 * 0.016])


def test_a_side_map_overrides_the_geometry():
    labels = np.zeros((6, 10, 20), np.uint8)
    labels[1:5, 2:8, 2:8] = 1
    labels[2:4, 3:6, 3:6] = 2
    sides = np.where(labels > 0, np.uint8(2), np.uint8(0))
    sides[0] = 1  # beyond the labels: does not count
    result = measure(labels, (4.0, 2.0, 2.0), sides=sides)
    assert [kidney["side"] for kidney in result["kidneys"]] == ["left"]
    assert [tumor["side"] for tumor in result["tumors"]] == ["left"]


def test_tumor_specks_count_in_the_total_alone_and_corners_join():
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[0:3, 0:3, 0:3] = 2
    labels[3:6, 3:6, 3:6] = 2
    labels[0, 19, 19] = 2
    result = measure(labels, (2.0, 2.0, 2.0))
    assert len(result["tumors"]) == 1
    assert result["tumors"][0]["volume_ml"] == pytest.approx(54 * 0.008)
    assert result["tumor_ml"] == pytest.approx(55 * 0.008)


def test_nothing_to_measure():
    empty = {"kidney_ml": 0.0, "tumor_ml": 0.0, "kidneys": [], "tumors": []}
    assert measure(np.zeros((1, 2, 3), np.uint8), (1, 1, 1)) == empty


def test_the_box_around_the_labels_does_not_move_the_middle():
    labels = np.zeros((12, 30, 100), np.uint8)
    labels[2:10, 5:25, 30:45] = 2
    assert measure(labels, (3.0, 1.0, 1.0))["tumors"][0]["side"] == "right"
    assert measure(labels[..., ::-1], (3.0, 1.0, 1.0))["tumors"][0]["side"] == "left"
