"""Means, quartiles, intervals and tests against plain arithmetic."""

import itertools

import numpy as np
import pytest

from kits_tf.evaluation.metrics import METRICS
from kits_tf.evaluation.statistics import compare, describe, interval, summarize


def case(**scores):
    return dict.fromkeys(METRICS) | scores


def test_a_summary_by_hand():
    found = summarize([case(kidney_dice=value) for value in (0.1, 0.2, 0.4, 0.5, 0.9)])
    assert found["kidney_dice"] == pytest.approx(
        found["kidney_dice"] | {"count": 5, "mean": 0.42, "median": 0.4, "q1": 0.2, "q3": 0.5}
    )
    assert found["tumor_hd95_mm"] == {"count": 0} | dict.fromkeys(("mean", "low", "high", "median", "q1", "q3"))


def test_an_interval_is_that_of_all_resamples():
    """Of three values there are 27 resamples: the percentiles of their means, counted."""
    values = [0.0, 0.3, 0.9]
    means = sorted(np.mean(sample) for sample in itertools.product(values, repeat=3))
    low, high = interval(values)
    # 2.5 % of 27 is less than one resample: the lowest mean and the highest
    assert (low, high) == pytest.approx((means[0], means[-1]))
    normal = np.random.default_rng(1).normal(0.8, 0.1, 100)
    low, high = interval(normal)
    half = 1.96 * normal.std(ddof=1) / 10
    assert (low, high) == pytest.approx((normal.mean() - half, normal.mean() + half), abs=0.002)
    assert interval(normal) == (low, high)


def test_one_value_and_equal_values_have_no_spread():
    assert describe([0.5])["low"] is None and describe([0.5])["median"] == 0.5
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_a_comparison_by_hand():
    """Six differences, all positive: of 64 patterns of signs one is as extreme on either side."""
    first = {str(i): case(kidney_dice=0.5 + 0.01 * i * i, tumor_hd95_mm=1.0) for i in range(1, 7)}
    second = {str(i): case(kidney_dice=0.5) for i in range(1, 7)} | {"other": case(kidney_dice=0.0)}
    found = compare(first, second)
    assert found["kidney_dice"]["p"] == pytest.approx(2 / 64)
    assert found["kidney_dice"]["mean_difference"] == pytest.approx(0.91 / 6)
    assert [found["kidney_dice"][key] for key in ("count", "higher", "lower", "equal")] == [6, 6, 0, 0]
    assert found["tumor_hd95_mm"]["count"] == 0 and found["tumor_hd95_mm"]["p"] is None
    assert compare(first, first)["kidney_dice"]["p"] is None
