"""Score label files against label files."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from kits_tf import runtime
from kits_tf.data import records
from kits_tf.errors import InputError
from kits_tf.evaluation import lesions, matching, metrics
from kits_tf.io.volume import read_labels

Outcome = tuple[str, dict[str, Any] | None, str | None]


def score_case(item: tuple[str, tuple[pathlib.Path | None, pathlib.Path]]) -> Outcome:
    """Score (case, (prediction, reference)); a missing or unusable prediction scores 0.

    Returns:
        The case; {"scores": see `metrics.score`, "lesions": see `lesions.detect`, "sides": see `lesions.side_scores`,
        "is_kidney_only", "warnings": lines}, or None if the reference is unreadable; and what is wrong, in one line.
    """
    case, (prediction_path, reference_path) = item
    if records.is_record(reference_path):
        runtime.load_tensorflow("cpu")  # in this process or a worker
    try:
        reference, grid = matching.read_labels(reference_path)
    except InputError as caught:
        return case, None, str(caught)
    prediction, error = np.zeros_like(reference), None
    scores, sidecar = metrics.missing_scores(), {}
    warnings = [f"{reference_path}: warning: {warning}" for warning in grid.warnings]
    if prediction_path is not None:
        try:
            labels, own_grid = read_labels(prediction_path)
            matching.check_same_grid(prediction_path, own_grid, grid)
        except InputError as caught:
            error = str(caught)
        else:
            prediction, sidecar = labels, matching.read_sidecar(prediction_path)
            scores = metrics.score(prediction, reference, grid.spacing_mm, grid.voxel_ml)
            warnings += [f"{prediction_path}: warning: {warning}" for warning in own_grid.warnings]
    result = {
        "scores": scores,
        "lesions": lesions.detect(prediction, reference, grid.spacing_mm, grid.voxel_ml),
        "sides": lesions.side_scores(prediction, reference, grid.spacing_mm),
        "is_kidney_only": matching.is_kidney_only(sidecar, prediction),
        "warnings": warnings,
    }
    return case, result, error
