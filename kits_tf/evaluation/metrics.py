"""Scores of one case: Dice as in KiTS19, surface Dice as in KiTS21 and KiTS23, Hausdorff distance, volume error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kits_tf.boxes import bounding_box
from kits_tf.evaluation.surface import surface_distances

KIDNEY_TOLERANCE_MM = 1.0330772532390826
MASSES_TOLERANCE_MM = 1.1328796488598762
TUMOR_TOLERANCE_MM = 1.1498198361434828
"""Tolerances in the code of KiTS21 and KiTS23: kidney with masses, masses (tumors and cysts), tumor."""
_TOLERANCES_MM = {"kidney": (KIDNEY_TOLERANCE_MM,), "tumor": (TUMOR_TOLERANCE_MM, MASSES_TOLERANCE_MM)}

METRICS = (
    "kidney_dice",
    "tumor_dice",
    "kidney_only_dice",
    "kidney_surface_dice",
    "tumor_surface_dice",
    "kidney_hd95_mm",
    "tumor_hd95_mm",
    "kidney_volume_error_ml",
    "tumor_volume_error_ml",
    "kits23_dice",
    "kits23_surface_dice",
)
KIDNEY_METRICS = ("kidney_dice", "kidney_surface_dice", "kidney_hd95_mm", "kidney_volume_error_ml")
"""Metrics of label > 0, which stay meaningful when no tumor network ran."""

PAPER = {"kidney_dice": 0.9610, "tumor_dice": 0.7080}
CHALLENGE_WINNER = {"kidney_dice": 0.974, "tumor_dice": 0.851}

Scores = dict[str, float | None]
"""{metric: number}, None for an undefined one."""


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return the Dice coefficient of two masks, 1 if both are empty.

    Example:
        >>> dice(np.array([True, True, False]), np.array([True, False, False]))
        0.6666666666666666
    """
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return float(2 * np.count_nonzero(prediction & reference) / total) if total else 1.0


def score(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], voxel_ml: float | None = None
) -> Scores:
    """Score one case.

    Kidney is label > 0 (with tumor), tumor is label > 1, `kidney_only_dice` that of label 1. Surface Dice is 1 if both
    masks are empty and 0 if one is; the 95 % Hausdorff distance is undefined if either is. Volume error is prediction
    minus reference. `kits23_dice` and `kits23_surface_dice` are means over kidney with masses, masses and tumor, as in
    KiTS21 and KiTS23; KiTS19 labels no cysts, so masses equal the tumor, but with their own tolerance.

    Args:
        prediction: uint8 labels [slices, rows, columns].
        reference: uint8 labels of the same shape.
        spacing_mm: Voxel size (slice, row, column).
        voxel_ml: Volume of a voxel; by default the product of the spacing, which is too large in a sheared grid.

    Returns:
        Dict with the keys of `METRICS`.

    Example:
        >>> labels = np.array([[[0, 1, 1, 2]]], np.uint8)
        >>> score(labels, labels, (3.0, 0.8, 0.8))["tumor_surface_dice"]
        1.0
    """
    box = bounding_box((prediction | reference) > 0) or (slice(1),) * 3
    prediction, reference = prediction[box], reference[box]
    voxel_ml = float(np.prod(spacing_mm)) / 1000 if voxel_ml is None else voxel_ml
    scores: dict[str, Any] = {"kidney_only_dice": dice(prediction == 1, reference == 1)}
    for label, (name, tolerances_mm) in enumerate(_TOLERANCES_MM.items()):
        masks = prediction > label, reference > label
        sizes = np.count_nonzero(masks[0]), np.count_nonzero(masks[1])
        surface_dices, hd95_mm = [float(sizes == (0, 0))] * len(tolerances_mm), None
        if all(sizes):
            distances = surface_distances(*masks, spacing_mm)
            surface_dices = [distances.dice(tolerance_mm) for tolerance_mm in tolerances_mm]
            hd95_mm = distances.hausdorff_mm(0.95)
        scores[f"{name}_dice"] = dice(*masks)
        scores[f"{name}_surface_dice"] = surface_dices[0]
        scores[f"{name}_hd95_mm"] = hd95_mm
        scores[f"{name}_volume_error_ml"] = float(sizes[0] - sizes[1]) * voxel_ml
    scores["kits23_dice"] = (scores["kidney_dice"] + 2 * scores["tumor_dice"]) / 3
    scores["kits23_surface_dice"] = (scores["kidney_surface_dice"] + sum(surface_dices)) / 3  # tumor and masses
    return {metric: scores[metric] for metric in METRICS}


def missing_scores() -> Scores:
    """Return the scores of a case without a usable prediction: 0 for each Dice, None for the others."""
    return {metric: 0.0 if metric.endswith("dice") else None for metric in METRICS}
