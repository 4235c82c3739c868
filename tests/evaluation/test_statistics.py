"""Means, quartiles, intervals and the paired test agree with plain arithmetic."""

import itertools

import numpy as np
import pytest

from kits_tf.evaluation.statistics import compare, confidence_interval, differences, score_frame, summarize


def frame(*dices):
    return score_frame({f"case{i}": {"kidney_dice": dice} for i, dice in enumerate(dices)})


def test_a_summary_by_hand():
    found = summarize(frame(0.1, 0.2, 0.4, 0.5, 0.9, None))
    expected = {"count": 5, "mean": 0.42, "median": 0.4, "q1": 0.2, "q3": 0.5}
    assert {key: found["kidney_dice"][key] for key in expected} == pytest.approx(expected)
    assert found["tumor_hd95_mm"] == {"count": 0} | dict.fromkeys(("mean", "low", "high", "median", "q1", "q3"))
    assert summarize(frame(0.5))["kidney_dice"]["low"] is None


def test_an_interval_is_that_of_all_resamples():
    """Three values have 27 resamples; 2.5 % of them is less than one, so the interval is their whole range."""
    values = np.array([0.0, 0.3, 0.9])
    means = sorted(np.mean(sample) for sample in itertools.product(values, repeat=3))
    assert confidence_interval(values) == pytest.approx((means[0], means[-1]))
    normal = np.random.default_rng(1).normal(0.8, 0.1, 100)
    half = 1.96 * normal.std(ddof=1) / 10
    assert confidence_interval(normal) == pytest.approx((normal.mean() - half, normal.mean() + half), abs=0.002)
    assert confidence_interval(normal) == confidence_interval(normal)
    assert confidence_interval(np.full(3, 0.5)) == (0.5, 0.5)


def test_a_comparison_by_hand():
    """Six differences, all positive: of 64 patterns of signs one is as extreme on either side."""
    first, second = frame(*(0.5 + 0.01 * i * i for i in range(1, 7))), frame(*[0.5] * 6, 0.0)
    found = compare(first, second)
    assert found["kidney_dice"]["p"] == pytest.approx(2 / 64)
    assert found["kidney_dice"]["mean_difference"] == pytest.approx(0.91 / 6)
    assert [found["kidney_dice"][key] for key in ("count", "higher", "lower", "equal")] == [6, 6, 0, 0]
    assert found["tumor_hd95_mm"] == dict.fromkeys(found["tumor_hd95_mm"]) | {"count": 0}
    assert compare(first, first)["kidney_dice"]["p"] is None
    cases = differences(first, second)
    assert len(cases) == 6 and cases["kidney_dice"]["case1"] == pytest.approx(0.04)
    assert np.isnan(cases["tumor_hd95_mm"]["case1"])
