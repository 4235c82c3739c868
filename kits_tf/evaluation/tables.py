"""Scores as text tables, CSV and Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kits_tf.evaluation.metrics import CHALLENGE_WINNER, METRICS, PAPER

_COLUMNS = (  # group and heading in the terminal, short enough for 100 columns, and full name
    ("Dice", "kidney", "kidney Dice"),
    ("Dice", "tumor", "tumor Dice"),
    ("Dice", "only", "Dice of kidney without tumor"),
    ("surface", "kidney", "kidney surface Dice"),
    ("surface", "tumor", "tumor surface Dice"),
    ("HD95, mm", "kidney", "kidney HD95, mm"),
    ("HD95, mm", "tumor", "tumor HD95, mm"),
    ("error, ml", "kidney", "kidney error, ml"),
    ("error, ml", "tumor", "tumor error, ml"),
    ("KiTS23", "Dice", "KiTS23's mean Dice"),
    ("KiTS23", "surface", "KiTS23's mean surface Dice"),
)
NAMES = {metric: column[2] for metric, column in zip(METRICS, _COLUMNS, strict=True)}
NOTES = (
    "Dice: kidney is label > 0, tumor is label > 1, only is kidney without tumor, label 1",
    "surface: surface Dice at 1.033 mm (kidney) and 1.150 mm (tumor); HD95: 95 % Hausdorff distance",
    "error: volume of the prediction minus that of the reference",
    "KiTS23: Dice and surface Dice, means over its three classes, with masses equal to the tumor",
    "paper: its 27 validation cases; winner: the challenge winner, 90 cases",
    "-: undefined, left out of the mean",
    "95 %: confidence interval of the mean, bootstrap over cases",
)
_SUMMARY_ROWS = {"median": "median", "q1": "quartile 1", "q3": "quartile 3", "low": "95 % from", "high": "95 % to"}


def format_score(metric: str, value: float | None) -> str:
    """Return a score as text: four decimals for a Dice, two for mm, one for ml; a dash if undefined."""
    decimals = 4 if metric.endswith("dice") else 2 if metric.endswith("mm") else 1
    return "-" if value is None or np.isnan(value) else f"{value:.{decimals}f}"


def score_table(frame: pd.DataFrame, summary: Mapping[str, Mapping[str, Any]], published: bool) -> pd.DataFrame:
    """Return scores and their summary as text; if `published`, also those of the paper and the challenge winner."""
    rows: dict[str, Mapping[str, Any]] = {str(name): dict(row) for name, row in frame.iterrows()}
    named = {f"mean of {len(frame)}": "mean"}
    if len(frame) > 1:
        named |= {name: key for key, name in _SUMMARY_ROWS.items()}
    rows |= {name: {metric: summary[metric][key] for metric in METRICS} for name, key in named.items()}
    rows |= {"paper": PAPER, "winner": CHALLENGE_WINNER} if published else {}
    texts = [[format_score(key, row[key]) if key in row else "" for key in METRICS] for row in rows.values()]
    return pd.DataFrame(texts, index=list(rows), columns=list(METRICS))


def terminal_text(table: pd.DataFrame, cases: int) -> str:
    """Return a table of `score_table` for the terminal, a rule under its cases, notes beneath."""
    shown = table.set_axis(pd.MultiIndex.from_tuples([column[:2] for column in _COLUMNS]), axis=1)
    lines = shown.to_string().splitlines()
    rule = "-" * max(map(len, lines))
    return "\n".join([*lines[:2], rule, *lines[2 : 2 + cases], rule, *lines[2 + cases :], *_notes(table)])


def markdown_text(table: pd.DataFrame, remarks: Sequence[str] = ()) -> str:
    """Return a table of `score_table` in Markdown, notes and remarks beneath."""
    rows = [["", *NAMES.values()], ["---", *["---:"] * len(NAMES)]]
    rows += [[_escaped(str(name)), *row] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"- {_escaped(note)}" for note in [*_notes(table), *remarks])]) + "\n"


def csv_text(frame: pd.DataFrame, detections: Mapping[str, Mapping[str, Any]]) -> str:
    """Return scores and counts of tumors from `lesions.detect` as CSV, an empty cell if undefined."""
    counts = {
        "tumors": [len(found["tumors"]) for found in detections.values()],
        "tumors_found": [sum(tumor["found"] for tumor in found["tumors"]) for found in detections.values()],
        "false_tumors": [len(found["false"]) for found in detections.values()],
    }
    return frame.assign(**counts).to_csv(index_label="case", lineterminator="\n")


def detection_text(rates: Mapping[str, Any]) -> str:
    """Return a sentence on the tumors found, from `lesions.detection_rates`."""
    if not rates["tumors"]:
        return f"tumors: none in the references, {rates['false']} false"
    by_size = rates["by_size"].items()
    sizes = [f"{name} {size['found']} of {size['tumors']}" for name, size in by_size if size["tumors"]]
    found = f"tumors found: {rates['found']} of {rates['tumors']} ({', '.join(sizes)})"
    return f"{found}\nfalse tumors: {rates['false']}, {rates['false_per_case']:.2f} per case"


def comparison_text(comparison: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """Return a result of `statistics.compare` as a table; `name` is that of the second method."""
    shown = pd.DataFrame(comparison, dtype=object).T.rename(index=NAMES)
    for column in ("mean_difference", "low", "high"):
        shown[column] = shown[column].map("{:+.4f}".format, na_action="ignore")
    for column in ("higher", "lower", "equal"):
        shown[column] = shown[column].map("{:.0f}".format, na_action="ignore")
    shown["p"] = shown["p"].map(lambda p: "<0.0001" if p < 0.0001 else f"{p:.4f}", na_action="ignore")
    shown = shown.astype(object).where(shown.notna(), "-")
    headings = ["cases", "difference", "95 % from", "95 % to", "higher", "lower", "equal", "p"]
    title = f"Minus {name}, case by case; p: Wilcoxon's signed-rank test, two-sided"
    return f"{title}\n{shown.set_axis(headings, axis=1).to_string()}"


def _notes(table: pd.DataFrame) -> list[str]:
    """Return the notes on the rows that a table has."""
    return [note for note in NOTES if "paper" in table.index or not note.startswith("paper")]


def _escaped(text: str) -> str:
    """Return text with Markdown's signs escaped."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|])", r"\\\1", text)
