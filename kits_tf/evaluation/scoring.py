"""Score label files against label files, optionally in several processes."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kits_tf.errors import InputError
from kits_tf.evaluation import lesions, matching, metrics
from kits_tf.io.volume import read_labels

Outcome = tuple[str, dict[str, Any] | None, str | None]
"""Case; result of `score_files`, None if the reference is unreadable; and what is wrong, in one line."""


def score_files(
    prediction_path: pathlib.Path | None, reference_path: pathlib.Path
) -> tuple[dict[str, Any], InputError | None]:
    """Score one label file against another; a missing or unusable prediction scores 0.

    Returns:
        {"scores": see `metrics.score`, "lesions": see `lesions.detect`, "sides": see `lesions.side_scores`,
        "is_kidney_only": see `matching.is_kidney_only`}, and what is wrong with the prediction.

    Raises:
        InputError: The reference cannot be read.
    """
    reference, grid = read_labels(reference_path)
    prediction, error = None, None
    sidecar: dict[str, Any] = {}
    if prediction_path is not None:
        try:
            prediction, own_grid = read_labels(prediction_path)
            matching.check_same_grid(prediction_path, own_grid, grid)
            sidecar = matching.read_sidecar(prediction_path)
        except InputError as caught:
            prediction, error = None, caught
    scores = metrics.missing_scores()
    if prediction is None:
        prediction = np.zeros_like(reference)
    else:
        scores = metrics.score(prediction, reference, grid.spacing_mm, grid.voxel_ml)
    return {
        "scores": scores,
        "lesions": lesions.detect(prediction, reference, grid.spacing_mm, grid.voxel_ml),
        "sides": lesions.side_scores(prediction, reference, grid.spacing_mm),
        "is_kidney_only": matching.is_kidney_only(sidecar, prediction),
    }, error


def score_all(pairs: Mapping[str, tuple[pathlib.Path | None, pathlib.Path]], processes: int = 1) -> Iterator[Outcome]:
    """Score pairs {case: (prediction or None, reference)}, in order."""
    processes = min(processes, len(pairs))
    if processes <= 1:
        yield from map(_outcome, pairs.items())
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, context) as pool:
        yield from pool.map(_outcome, pairs.items())


def _outcome(item: tuple[str, tuple[pathlib.Path | None, pathlib.Path]]) -> Outcome:
    """Score one pair; errors return as text, since InputError cannot be pickled."""
    case, paths = item
    try:
        result, error = score_files(*paths)
    except InputError as caught:
        return case, None, str(caught)
    return case, result, None if error is None else str(error)
