"""Evaluate the result: means and paired differences with 95 % intervals, and a verdict on each claim."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd

from experiments.ablations.variants import QUESTIONS, Question, Variant
from kits_tf.evaluation.statistics import confidence_interval

RESULT = pathlib.Path(__file__).with_name("result.json")
TRUNK = "trunk_ct"
"""The real CT that comes with the package, which has no tumor."""
METRICS = {"kidney": "kidney_dice", "tumor": "tumor_dice"}
MIN_SEEDS = 3  # of a variant and its reference, for a verdict

Interval = tuple[float | None, float | None]


@dataclasses.dataclass(frozen=True)
class Row:
    """A variant in numbers; differences are those to its reference, paired by case, None for the reference itself."""

    question: str
    variant: str
    stage: str
    seeds: int
    mean: float  # over cases, of means over seeds
    interval: Interval
    difference: float | None
    difference_interval: Interval
    by_seed: tuple[float, ...]  # differences of each seed that both have
    real_dice: float | None  # of the kidneys of the real CT, mean over seeds
    real_false_ml: float | None  # of tumor in the real CT, which has none
    parameters: int
    cpu_seconds: float

    @property
    def finding(self) -> str:
        """The finding: "better", "worse" or "unclear".

        A difference counts if the interval excludes zero and all seeds agree on its sign.
        """
        low, high = self.difference_interval
        if low is None or high is None or self.seeds < MIN_SEEDS:
            return "unclear"
        if low > 0 and min(self.by_seed) > 0:
            return "better"
        return "worse" if high < 0 and max(self.by_seed) < 0 else "unclear"


def recorded(path: pathlib.Path = RESULT) -> dict[str, Any]:
    """Return a recorded result."""
    return json.loads(path.read_text(encoding="utf-8"))


def rows(result: dict[str, Any], name: str) -> list[Row]:
    """Return the rows of a question's variants that were measured, as their reference was, in order."""
    question = QUESTIONS[name]
    measured = {one["variant"]: one for one in result["questions"].get(name, [])}
    found = []
    for variant in question.variants:
        reference = question.reference(variant)
        if variant.name in measured and reference.name in measured:
            networks = [result["networks"][network] for network in measured[variant.name]["networks"]]
            found.append(row(name, variant, measured[variant.name], measured[reference.name], networks))
    return found


def row(
    question: str, variant: Variant, own: dict[str, Any], reference: dict[str, Any], networks: list[dict[str, Any]]
) -> Row:
    """Return the row of a variant, from its part of the result, its reference's, and its networks' costs."""
    frame, other = (frame_of(one["scores"], METRICS[variant.stage]) for one in (own, reference))
    differences = frame.sub(other).loc[frame.index, frame.columns.intersection(other.columns)]
    values, paired = frame.mean(axis=1), differences.mean(axis=1)
    real = [scores[TRUNK] for scores in own["scores"].values()]
    is_kidney, is_reference = variant.stage == "kidney", own is reference
    return Row(
        question=question,
        variant=variant.name,
        stage=variant.stage,
        seeds=differences.shape[1],
        mean=float(values.mean()),
        interval=confidence_interval(values),
        difference=None if is_reference else float(paired.mean()),
        difference_interval=(None, None) if is_reference else confidence_interval(paired),
        by_seed=() if is_reference else tuple(map(float, differences.mean())),
        real_dice=float(np.mean([one["kidney_dice"] for one in real])) if is_kidney else None,
        real_false_ml=None if is_kidney else float(np.mean([one["false_tumor_ml"] for one in real])),
        parameters=sum(one["parameters"] for one in networks),
        cpu_seconds=sum(one["cpu_seconds"] for one in networks),
    )


def frame_of(scores: dict[str, Any], metric: str) -> pd.DataFrame:
    """Return a metric of the simulated cases that have it, [case, seed]."""
    columns = {seed: {case: numbers[metric] for case, numbers in one.items()} for seed, one in scores.items()}
    return pd.DataFrame(columns, dtype=float).drop(index=TRUNK).dropna()


def verdict(question: Question, found: list[Row]) -> str:
    """Return the verdict of the measurements on a claim."""
    findings = {one.variant: one.finding for one in found if one.seeds >= MIN_SEEDS}
    tested = [findings[name] for name in question.worse if name in findings]
    if not question.worse:
        return "no claim to test"
    if len(tested) < len(question.worse):
        return "not measured yet"
    if all(finding == "worse" for finding in tested):
        return "holds"
    if all(finding == "better" for finding in tested):
        return "the reverse holds"
    return "not shown" if set(tested) == {"unclear"} else "holds in part" if "worse" in tested else "does not hold"


def cpu_minutes(result: dict[str, Any], name: str) -> float:
    """Return the CPU minutes of all trainings of a question."""
    names = {network: len(one["scores"]) for one in result["questions"][name] for network in one["networks"]}
    return sum(result["networks"][network]["cpu_seconds"] * seeds for network, seeds in names.items()) / 60
