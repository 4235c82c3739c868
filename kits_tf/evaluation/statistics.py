"""What the scores of many cases amount to: means with confidence intervals, quartiles, and two methods compared."""

import numpy as np
from scipy import stats

from kits_tf.evaluation.metrics import METRICS

CONFIDENCE = 0.95
RESAMPLES = 9999
_SEED = 0  # the same scores give the same interval


def summarize(cases):
    """The mean, its confidence interval, the median and the quartiles of each metric.

    The interval is that of a percentile bootstrap over cases (`scipy.stats.bootstrap`).

    Args:
        cases: iterable of dicts as `metrics.score` gives.

    Returns:
        {metric: {"count", "mean", "low", "high", "median", "q1", "q3"}}; a case in which a metric is undefined does
        not count there; None where no case is left, and for the interval of fewer than two.
    """
    cases = list(cases)
    return {metric: describe([case[metric] for case in cases if case[metric] is not None]) for metric in METRICS}


def describe(values):
    """The summary of one metric's values; see `summarize`."""
    if not values:
        return {"count": 0} | dict.fromkeys(("mean", "low", "high", "median", "q1", "q3"))
    low, high = interval(values)
    q1, median, q3 = (float(value) for value in np.percentile(values, (25, 50, 75)))
    return {
        "count": len(values),
        "mean": float(np.mean(values)),
        "low": low,
        "high": high,
        "median": median,
        "q1": q1,
        "q3": q3,
    }


def interval(values):
    """The 95 % confidence interval of a mean as (low, high); (None, None) for fewer than two values."""
    if len(values) < 2:
        return None, None
    found = stats.bootstrap(
        (np.asarray(values, float),),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        batch=1000,
        random_state=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


def compare(first, second):
    """Compares two methods on the same cases.

    Args:
        first: {id: scores} of one method.
        second: {id: scores} of the other.

    Returns:
        {metric: {"count", "mean_difference", "low", "high", "higher", "lower", "equal", "p"}} over the cases in which
        both are defined: first minus second, the difference's confidence interval, in how many cases it is positive,
        negative and 0, and the p-value of Wilcoxon's signed-rank test, two-sided (None where all are equal).
    """
    common = [name for name in first if name in second]
    return {metric: _compare([(first[name][metric], second[name][metric]) for name in common]) for metric in METRICS}


def _compare(pairs):
    differences = np.array([a - b for a, b in pairs if a is not None and b is not None])
    if not differences.size:
        return {"count": 0} | dict.fromkeys(("mean_difference", "low", "high", "higher", "lower", "equal", "p"))
    low, high = interval(differences)
    return {
        "count": len(differences),
        "mean_difference": float(differences.mean()),
        "low": low,
        "high": high,
        "higher": int((differences > 0).sum()),
        "lower": int((differences < 0).sum()),
        "equal": int((differences == 0).sum()),
        "p": float(stats.wilcoxon(differences).pvalue) if differences.any() else None,
    }
