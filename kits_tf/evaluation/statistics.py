"""Summaries over cases: means with confidence intervals, quartiles, and a paired comparison of two methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kits_tf.evaluation.metrics import METRICS, Scores


def score_frame(cases: Mapping[str, Scores]) -> pd.DataFrame:
    """Return scores as a DataFrame: one row per case, one column per metric, NaN if undefined."""
    return pd.DataFrame(list(cases.values()), index=list(cases), columns=list(METRICS), dtype=float)


def summarize(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return count, mean with its 95 % confidence interval, median and quartiles of each column of `score_frame`.

    Returns:
        {metric: {"count", "mean", "low", "high", "median", "q1", "q3"}} over the cases where it is defined, or None.

    Example:
        >>> summarize(score_frame({"a": {"kidney_dice": 0.5}, "b": {"kidney_dice": 1.0}}))["kidney_dice"]["mean"]
        0.75
    """
    return {metric: _describe(frame[metric].dropna()) for metric in METRICS}


def confidence_interval(values: pd.Series | np.ndarray) -> tuple[float | None, float | None]:
    """Return the 95 % percentile bootstrap interval of a mean; (None, None) for fewer than two values."""
    if len(values) < 2:
        return None, None
    generator = np.random.default_rng(0)  # the same scores give the same interval
    data, options = (np.asarray(values, float),), {"batch": 1000, "method": "percentile", "random_state": generator}
    low, high = stats.bootstrap(data, np.mean, **options).confidence_interval
    return float(low), float(high)


def compare(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Compare two methods by their `score_frame` on the cases in which both are defined.

    Returns:
        {metric: {"count", "mean_difference", "low", "high", "higher", "lower", "equal", "p"}}: first minus second,
        its 95 % confidence interval, the number of positive, negative and zero differences, and the p-value of
        Wilcoxon's signed-rank test, two-sided (None if all differences are zero).
    """
    frame = differences(first, second)
    return {metric: _compare(frame[metric].dropna()) for metric in METRICS}


def differences(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return first minus second for the cases that both have."""
    return first.sub(second).loc[first.index.intersection(second.index)]


def _describe(values: pd.Series) -> dict[str, Any]:
    low, high = confidence_interval(values)
    numbers = (values.mean(), low, high, *values.quantile([0.5, 0.25, 0.75]))
    names = ("mean", "low", "high", "median", "q1", "q3")
    return {"count": len(values)} | dict(zip(names, map(_or_none, numbers), strict=True))


def _compare(differences: pd.Series) -> dict[str, Any]:
    low, high = confidence_interval(differences)
    counts = [int(flags.sum()) for flags in (differences > 0, differences < 0, differences == 0)]
    found = {"count": len(differences), "mean_difference": _or_none(differences.mean()), "low": low, "high": high}
    found |= zip(("higher", "lower", "equal"), counts if len(differences) else [None] * 3, strict=True)
    return found | {"p": float(stats.wilcoxon(differences).pvalue) if differences.any() else None}


def _or_none(value: float | None) -> float | None:
    """Return a number as a float, NaN as None."""
    return None if value is None or np.isnan(value) else float(value)
