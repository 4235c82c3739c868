"""Scores equal hand-derived numbers and those of an independent package; empty masks are defined."""

import warnings

import numpy as np
import pytest

from kits_tf.evaluation.metrics import KIDNEY_TOLERANCE_MM, METRICS, TUMOR_TOLERANCE_MM, score

SPACINGS_MM = ((3.0, 0.8, 0.8), (0.5, 0.9, 0.7), (5.0, 0.44, 2.1))


def test_two_boxes_shifted_by_one_voxel():
    """A tumor of 2 x 4 x 4 voxels within a box of 4 x 10 x 10, both one column further in the prediction.

    Of the box, 9 of 10 columns overlap; of the tumor, 3 of 4. Kidney alone: 400 - 32 voxels each; the boxes overlap in
    360, of which 2 x 4 x 5 belong to a tumor in one or the other (five columns, both tumors together).
    """
    reference = np.zeros((8, 14, 16), np.uint8)
    reference[2:6, 2:12, 2:12] = 1
    reference[3:5, 5:9, 5:9] = 2
    scores = score(np.roll(reference, 1, axis=2), reference, (3.0, 0.8, 0.8))
    assert set(scores) == set(METRICS)
    assert scores["kidney_dice"] == pytest.approx(0.9)
    assert scores["tumor_dice"] == pytest.approx(0.75)
    assert scores["kidney_only_dice"] == pytest.approx((360 - 40) / (400 - 32))
    assert scores["kidney_surface_dice"] == scores["tumor_surface_dice"] == 1.0
    assert scores["kidney_hd95_mm"] == scores["tumor_hd95_mm"] == pytest.approx(0.8)
    assert scores["kidney_volume_error_ml"] == scores["tumor_volume_error_ml"] == 0.0
    assert scores["kits23_dice"] == pytest.approx((0.9 + 0.75 + 0.75) / 3)
    assert scores["kits23_surface_dice"] == 1.0
    for voxel_ml, expected in ((0.001, -0.4), (None, -0.768)):
        missed = score(reference * 0, reference, (3.0, 0.8, 0.8), voxel_ml)
        assert missed["kidney_volume_error_ml"] == pytest.approx(expected)
        assert missed["tumor_volume_error_ml"] == pytest.approx(expected * 32 / 400)


def test_masses_have_a_tolerance_of_their_own():
    """One column of 1.14 mm apart: within the tumor's tolerance, beyond that of masses and of kidneys.

    The tolerances are the challenge's own numbers: 1.14981 mm is within the tumor's, 1.14983 mm is not.
    """
    reference = np.zeros((3, 4, 9), np.uint8)
    reference[1, 1:3, 2:6] = 2
    scores = score(np.roll(reference, 1, axis=2), reference, (1.14, 1.14, 1.14))
    assert scores["tumor_surface_dice"] == 1.0
    apart = scores["kidney_surface_dice"]
    assert 0 < apart < 1
    assert scores["kits23_surface_dice"] == pytest.approx((apart + apart + 1) / 3)
    for side_mm, agrees in ((1.14981, True), (1.14983, False)):
        scores = score(np.roll(reference, 1, axis=2), reference, (side_mm,) * 3)
        assert (scores["tumor_surface_dice"] == 1.0) == agrees


def random_labels(generator, shape):
    """Labels that often touch the border, and sometimes lack the tumor, the kidney or both."""
    share = generator.choice([0.0, 0.3, 0.6])
    labels = (generator.random(shape) < share).astype(np.uint8)
    return labels + (labels * (generator.random(shape) < generator.choice([0.0, 0.4]))).astype(np.uint8)


def test_all_scores_are_those_of_the_surface_distance_package(monkeypatch):
    """On 200 random volumes; of a share of area reached exactly, see `hausdorff_mm`."""
    library = pytest.importorskip("surface_distance")
    monkeypatch.setattr(np, "Inf", np.inf, raising=False)  # names that the package uses and NumPy 2 lacks
    monkeypatch.setattr(np, "NaN", np.nan, raising=False)
    generator = np.random.default_rng(11)
    seen = set()
    for number in range(200):
        shape, spacing_mm = generator.integers(1, 8, 3), SPACINGS_MM[number % 3]
        prediction, reference = random_labels(generator, shape), random_labels(generator, shape)
        scores = score(prediction, reference, spacing_mm)
        only = [labels == 1 for labels in (prediction, reference)]
        if any(mask.any() for mask in only):
            assert scores["kidney_only_dice"] == pytest.approx(library.compute_dice_coefficient(*only))
        for name, threshold, tolerance_mm in (("kidney", 0, KIDNEY_TOLERANCE_MM), ("tumor", 1, TUMOR_TOLERANCE_MM)):
            masks = prediction > threshold, reference > threshold
            seen.add((bool(masks[0].any()), bool(masks[1].any())))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                distances = library.compute_surface_distances(*masks, spacing_mm)
            expected = [1.0, 1.0]  # if both are empty, 0 / 0 in the package
            if masks[0].any() or masks[1].any():
                surface_dice = library.compute_surface_dice_at_tolerance(distances, tolerance_mm)
                expected = [library.compute_dice_coefficient(*masks), surface_dice]
            assert [scores[f"{name}_dice"], scores[f"{name}_surface_dice"]] == pytest.approx(expected, abs=1e-6)
            expected_mm = None
            if masks[0].any() and masks[1].any():  # a hair less than 95, or rounding decides where 95 % is exact
                expected_mm = pytest.approx(library.compute_robust_hausdorff(distances, 95 - 1e-9), abs=1e-6)
            assert scores[f"{name}_hd95_mm"] == expected_mm
    assert len(seen) == 4


def test_empty_masks():
    nothing = np.zeros((3, 4, 5), np.uint8)
    kidney = nothing.copy()
    kidney[1, 1:3, 1:3] = 1
    both = score(nothing, nothing, (1, 1, 1))
    assert all(both[metric] == 1.0 for metric in METRICS if metric.endswith("dice"))
    assert both["kidney_hd95_mm"] is None
    assert both["kidney_volume_error_ml"] == 0.0
    for one in (score(nothing, kidney, (1, 1, 1)), score(kidney, nothing, (1, 1, 1))):
        assert one["kidney_dice"] == one["kidney_surface_dice"] == one["kidney_only_dice"] == 0.0
        assert one["tumor_dice"] == one["tumor_surface_dice"] == 1.0
        assert one["kidney_hd95_mm"] is None and one["tumor_hd95_mm"] is None
