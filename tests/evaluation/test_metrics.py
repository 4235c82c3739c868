"""Dice is KiTS19's; the other scores follow from it or from the surfaces; empty masks give what is promised."""

import math
import warnings

import numpy as np
import pytest

from kits_tf.evaluation.metrics import (
    KIDNEY_TOLERANCE_MM,
    METRICS,
    TUMOR_TOLERANCE_MM,
    crop,
    dice,
    mean_scores,
    missing_scores,
    score,
)
from tests.evaluation.test_surface import library_hausdorff_mm

SPACINGS_MM = ((3.0, 0.8, 0.8), (0.5, 0.9, 0.7), (5.0, 0.44, 2.1))


def challenge_dice(prediction, reference, threshold):
    """KiTS19's definition on sets of voxel indices."""
    ours = {tuple(index) for index in np.argwhere(prediction > threshold)}
    theirs = {tuple(index) for index in np.argwhere(reference > threshold)}
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


@pytest.mark.parametrize("seed", range(20))
def test_dice_is_the_challenges_on_random_labels(seed):
    generator = np.random.default_rng(seed)
    shape = generator.integers(3, 12, 3)
    prediction, reference = (generator.choice(np.uint8(3), shape, p=generator.dirichlet([3, 1, 1])) for _ in range(2))
    prediction[0, 0, 0] = reference[0, 0, -1] = 2
    scores = score(prediction, reference, (3.0, 0.8, 0.8))
    assert scores["kidney_dice"] == pytest.approx(challenge_dice(prediction, reference, 0), abs=1e-9)
    assert scores["tumor_dice"] == pytest.approx(challenge_dice(prediction, reference, 1), abs=1e-9)
    only = challenge_dice(prediction == 1, reference == 1, 0)
    assert scores["kidney_only_dice"] == pytest.approx(only, abs=1e-9)


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


def test_two_boxes_shifted_by_one_slice():
    """A kidney of 4 x 10 x 10 voxels at (3, 0.8, 0.8) mm, and the same one slice further down.

    Three of four slices overlap. Of the corner lattice, 5 x 11 x 11, the end left behind (9 x 9 inner corners, 4 edges
    of 9, 4 vertices) is 3 mm away. The other end lies within the shifted box, whose nearest corners are on the side
    walls: its rim is there itself, its 9 x 9 inner corners 0.8 mm away in the outer ring of 32, 1.6 mm in the next of
    24, 2.4 mm in the next of 16, and then, 9 corners, 3 mm away at the shifted box's own end. Each inner corner stands
    for one voxel's face.
    """
    reference = np.zeros((8, 14, 14), np.uint8)
    reference[2:6, 2:12, 2:12] = 1
    scores = score(np.roll(reference, 1, axis=0), reference, (3.0, 0.8, 0.8))

    edge = 0.8 * math.hypot(1.5, 0.4)
    vertex = 0.5 * math.hypot(1.5 * 0.4, 0.4 * 0.4, 0.4 * 1.5)
    walls = 4 * 3 * 9 * 3 * 0.8 + 4 * 3 * 3 * math.hypot(0.4, 0.4)
    end = 9 * 9 * 0.64 + 4 * 9 * edge + 4 * vertex
    away = end + (24 + 16 + 9) * 0.64
    assert scores["kidney_surface_dice"] == pytest.approx(1 - away / (walls + 2 * end))
    assert end / (walls + 2 * end) > 0.05  # of each surface is 3 mm away
    assert scores["kidney_hd95_mm"] == pytest.approx(3.0)
    assert scores["kidney_dice"] == scores["kidney_only_dice"] == pytest.approx(3 / 4)
    assert scores["kidney_volume_error_ml"] == scores["tumor_volume_error_ml"] == 0.0
    assert scores["tumor_dice"] == scores["tumor_surface_dice"] == 1.0 and scores["tumor_hd95_mm"] is None
    assert scores["kits23_dice"] == pytest.approx((3 / 4 + 2) / 3)
    assert scores["kits23_surface_dice"] == pytest.approx((scores["kidney_surface_dice"] + 2) / 3)


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


def test_all_scores_are_an_independent_librarys_on_200_random_volumes(monkeypatch):
    library = pytest.importorskip("surface_distance")
    monkeypatch.setattr(np, "Inf", np.inf, raising=False)  # names that it still uses and NumPy 2 has not
    monkeypatch.setattr(np, "NaN", np.nan, raising=False)
    generator = np.random.default_rng(11)
    seen = set()
    for number in range(200):
        shape, spacing_mm = generator.integers(1, 8, 3), SPACINGS_MM[number % 3]
        prediction, reference = random_labels(generator, shape), random_labels(generator, shape)
        scores = score(prediction, reference, spacing_mm)
        for name, threshold, tolerance_mm in (("kidney", 0, KIDNEY_TOLERANCE_MM), ("tumor", 1, TUMOR_TOLERANCE_MM)):
            masks = prediction > threshold, reference > threshold
            seen.add((bool(masks[0].any()), bool(masks[1].any())))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                distances = library.compute_surface_distances(*masks, spacing_mm)
            expected = [1.0, 1.0]  # where both are empty, 0 / 0 to the library
            if masks[0].any() or masks[1].any():
                surface_dice = library.compute_surface_dice_at_tolerance(distances, tolerance_mm)
                expected = [library.compute_dice_coefficient(*masks), surface_dice]
            assert [scores[f"{name}_dice"], scores[f"{name}_surface_dice"]] == pytest.approx(expected, abs=1e-6)
            hd95_mm = library_hausdorff_mm(library, distances, 95)
            expected_mm = hd95_mm if np.isfinite(hd95_mm) and masks[0].any() and masks[1].any() else None
            assert scores[f"{name}_hd95_mm"] == (None if expected_mm is None else pytest.approx(expected_mm, abs=1e-6))
    assert len(seen) == 4


def test_volume_errors_are_prediction_minus_reference():
    reference = np.zeros((2, 10, 10), np.uint8)
    reference[0, :5] = 1
    prediction = reference.copy()
    prediction[1, 0] = 2
    scores = score(prediction, reference, (5.0, 2.0, 2.0))
    assert scores["kidney_volume_error_ml"] == pytest.approx(10 * 20 / 1000)
    assert scores["tumor_volume_error_ml"] == pytest.approx(0.2)
    assert score(reference, prediction, (5.0, 2.0, 2.0))["tumor_volume_error_ml"] == pytest.approx(-0.2)


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
    assert dice(nothing > 0, nothing > 0) == 1.0


def test_cropping_changes_no_score_and_keeps_everything():
    generator = np.random.default_rng(5)
    prediction, reference = np.zeros((2, 20, 21, 22), np.uint8)
    prediction[4:9, 5:9, 6:12] = generator.integers(0, 3, (5, 4, 6))
    reference[6:11, 3:8, 10:15] = generator.integers(0, 3, (5, 5, 5))
    cut = crop(prediction, reference)
    assert cut[0].shape == cut[1].shape
    assert [np.count_nonzero(labels) for labels in cut] == [np.count_nonzero(prediction), np.count_nonzero(reference)]
    assert score(*cut, (2, 1, 1)) == score(prediction, reference, (2, 1, 1))


def test_means_leave_out_what_is_undefined():
    cases = [missing_scores(), missing_scores()]
    cases[0] |= {"kidney_dice": 0.5, "kidney_hd95_mm": 3.0}
    mean = mean_scores(cases)
    assert mean["kidney_dice"] == 0.25
    assert mean["kidney_hd95_mm"] == 3.0
    assert mean["tumor_hd95_mm"] is None
    assert mean["tumor_dice"] == 0.0
