"""The scores of one case, as KiTS19 counts Dice and KiTS21 and KiTS23 count surface Dice."""

import numpy as np

from kits_tf.evaluation.surface import surface_distances
from kits_tf.laterality import bounding_box

KIDNEY_TOLERANCE_MM = 1.0330772532390826
MASSES_TOLERANCE_MM = 1.1328796488598762
TUMOR_TOLERANCE_MM = 1.1498198361434828
"""The tolerances in the code of KiTS21 and KiTS23: kidney with masses, masses (tumors and cysts), tumor."""

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
"""Those over label > 0, which alone mean something where tumors were not looked for."""

PAPER = {"kidney_dice": 0.9610, "tumor_dice": 0.7080}
CHALLENGE_WINNER = {"kidney_dice": 0.974, "tumor_dice": 0.851}


def dice(prediction, reference):
    """Dice's coefficient of two masks, 2 |A and B| / (|A| + |B|).

    Args:
        prediction: bool array.
        reference: bool array of the same shape.

    Returns:
        0 to 1; 1 where both are empty (KiTS19's own definition is 0 / 0 there).
    """
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return float(2 * np.count_nonzero(prediction & reference) / total) if total else 1.0


def score(prediction, reference, spacing_mm):
    """All scores of one case.

    Kidney is label > 0 (kidney and tumor together) and tumor label > 1, as the challenges count; `kidney_only_dice` is
    over label 1. Surface Dice is 1 where both masks are empty and 0 where one is; the 95 % Hausdorff distance is
    undefined where either is empty. A volume error is prediction minus reference.

    KiTS21 and KiTS23 rank by the means over three classes: kidney with masses, masses, and tumor (`kits23_dice`,
    `kits23_surface_dice`). KiTS19 labels no cyst, so here the masses are the tumor, at a tolerance of their own.

    Args:
        prediction: uint8 [slices, rows, columns].
        reference: uint8 of the same shape.
        spacing_mm: (slice, row, column).

    Returns:
        Dict with the keys of `METRICS`; None where a number is undefined.
    """
    prediction, reference = crop(prediction, reference)
    kidney = score_masks(prediction > 0, reference > 0, spacing_mm, (KIDNEY_TOLERANCE_MM,))
    tumor = score_masks(prediction > 1, reference > 1, spacing_mm, (TUMOR_TOLERANCE_MM, MASSES_TOLERANCE_MM))
    scores = {
        "kidney_only_dice": dice(prediction == 1, reference == 1),
        "kits23_dice": (kidney["dice"] + 2 * tumor["dice"]) / 3,
        "kits23_surface_dice": (kidney["surface_dice"] + sum(tumor["surface_dices"])) / 3,
    }
    for name, found in (("kidney", kidney), ("tumor", tumor)):
        scores |= {f"{name}_{metric}": value for metric, value in found.items()}
    return {metric: scores[metric] for metric in METRICS}


def score_masks(prediction, reference, spacing_mm, tolerances_mm):
    """The scores of one mask against another, at one or more tolerances; see `score`.

    Returns:
        Dict with "dice", "surface_dice" at the first tolerance, "surface_dices" at each, "hd95_mm" and
        "volume_error_ml".
    """
    sizes = np.count_nonzero(prediction), np.count_nonzero(reference)
    surface_dices, hd95_mm = [float(sizes == (0, 0))] * len(tolerances_mm), None
    if all(sizes):
        distances = surface_distances(prediction, reference, spacing_mm)
        surface_dices, hd95_mm = (
            [distances.dice(tolerance) for tolerance in tolerances_mm],
            distances.hausdorff_mm(0.95),
        )
    return {
        "dice": dice(prediction, reference),
        "surface_dice": surface_dices[0],
        "surface_dices": surface_dices,
        "hd95_mm": hd95_mm,
        "volume_error_ml": float(sizes[0] - sizes[1]) * float(np.prod(spacing_mm)) / 1000,
    }


def missing_scores():
    """The scores of a case without a usable prediction: nothing found, so 0 where a score is a share, else None."""
    return {metric: 0.0 if metric.endswith("dice") else None for metric in METRICS}


def mean_scores(cases):
    """The mean of each metric over the cases where it is defined; None where it is defined in none.

    Args:
        cases: iterable of dicts as `score` gives.
    """
    cases = list(cases)
    means = {}
    for metric in METRICS:
        values = [case[metric] for case in cases if case[metric] is not None]
        means[metric] = float(np.mean(values)) if values else None
    return means


def crop(prediction, reference):
    """Both label arrays cut to the box around everything in either; one voxel where both are empty."""
    boxes = [box for box in (bounding_box(prediction), bounding_box(reference)) if box is not None]
    if not boxes:
        return prediction[:1, :1, :1], reference[:1, :1, :1]
    box = tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True))
    return prediction[box], reference[box]
