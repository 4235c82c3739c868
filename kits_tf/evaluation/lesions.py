"""Volumes of kidneys and tumors, tumor diameters, and which tumors of a reference a prediction found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage, spatial

from kits_tf.evaluation.metrics import dice
from kits_tf.laterality import LEFT, RIGHT, SIDE_NAMES, bounding_box, box_within, kidney_sides

MIN_TUMOR_ML = 0.1
"""Smaller components count in the total volume but are not listed as tumors."""

FOUND_SHARE = 0.1
"""A tumor is found if the prediction covers this share of its voxels."""

SIZES_MM = (("up to 40 mm", 40.0), ("40 to 70 mm", 70.0), ("over 70 mm", np.inf))
"""Classes by largest axial diameter, at the limits of the T stages T1a, T1b and T2."""


@dataclasses.dataclass(frozen=True)
class Tumor:
    """A component of label 2 whose voxels touch at least at a corner; `mask` is bool inside its bounding `box`."""

    side: str
    volume_ml: float
    max_axial_diameter_mm: float
    box: tuple[slice, ...]
    mask: np.ndarray = dataclasses.field(repr=False)

    def summary(self) -> dict[str, Any]:
        """Return side, volume and diameter as a dict for JSON."""
        return {name: getattr(self, name) for name in ("side", "volume_ml", "max_axial_diameter_mm")}


def measure(
    labels: np.ndarray, spacing_mm: Sequence[float], sides: np.ndarray | None = None, voxel_ml: float | None = None
) -> dict[str, Any]:
    """Measure kidneys with their tumors (label > 0, as the challenge counts) and tumors.

    Args:
        labels: uint8 [slices, rows, columns], axes (I, P, L): 0 background, 1 kidney, 2 tumor.
        spacing_mm: Voxel size (slice, row, column).
        sides: uint8 of the labels' shape, 1 in the right kidney, 2 in the left; by default see `laterality`.
        voxel_ml: Volume of a voxel; by default the product of the spacing, which is too large in a sheared grid.

    Returns:
        Dict with `kidney_ml`, `tumor_ml`, `kidneys` (list of {"side", "volume_ml"}, right before left, without empty
        ones) and `tumors` (list of {"side", "volume_ml", "max_axial_diameter_mm"}, largest first).

    Example:
        >>> labels = np.zeros((4, 20, 40), np.uint8)
        >>> labels[:, 5:15, 5:15] = 1
        >>> measure(labels, (5.0, 2.0, 2.0))["kidneys"]
        [{'side': 'right', 'volume_ml': 8.0}]
    """
    box = bounding_box(labels)
    if box is None:
        return {"kidney_ml": 0.0, "tumor_ml": 0.0, "kidneys": [], "tumors": []}
    voxel_ml = float(np.prod(spacing_mm)) / 1000 if voxel_ml is None else voxel_ml
    sides = _sides(labels, box, spacing_mm) if sides is None else np.where(labels[box] > 0, sides[box], 0)

    def volume_ml(mask: np.ndarray) -> float:
        return round(int(np.count_nonzero(mask)) * voxel_ml, 3)

    by_side = {name: volume_ml(sides == side) for side, name in SIDE_NAMES.items()}
    return {
        "kidney_ml": volume_ml(labels[box]),
        "tumor_ml": volume_ml(labels[box] == 2),
        "kidneys": [{"side": name, "volume_ml": kidney_ml} for name, kidney_ml in by_side.items() if kidney_ml],
        "tumors": [tumor.summary() for tumor in find_tumors(labels, spacing_mm, sides, voxel_ml)],
    }


def find_tumors(
    labels: np.ndarray, spacing_mm: Sequence[float], sides: np.ndarray | None = None, voxel_ml: float | None = None
) -> list[Tumor]:
    """Return the tumors of 0.1 ml or more, largest first; see `measure`, but `sides` covers the bounding box."""
    around = bounding_box(labels)
    if around is None:
        return []
    voxel_ml = float(np.prod(spacing_mm)) / 1000 if voxel_ml is None else voxel_ml
    sides = _with_all(labels, around, _sides(labels, around, spacing_mm) if sides is None else sides)
    components, _ = ndimage.label(labels[around] == 2, np.ones((3, 3, 3), bool))
    found = []
    for number, box in enumerate(ndimage.find_objects(components), 1):
        mask = components[box] == number
        volume_ml = int(np.count_nonzero(mask)) * voxel_ml
        if volume_ml >= MIN_TUMOR_ML:
            side = SIDE_NAMES[int(np.bincount(sides[box][mask], minlength=3)[1:].argmax()) + 1]
            diameter_mm = round(max_axial_diameter_mm(mask, spacing_mm), 2)
            found.append(Tumor(side, round(volume_ml, 3), diameter_mm, box_within(around, box), mask))
    return sorted(found, key=lambda tumor: -tumor.volume_ml)


def max_axial_diameter_mm(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """Return the largest distance within a slice between points of a mask's outline; that of one voxel is its side."""
    return max((_diameter_mm(plane, spacing_mm[1:]) for plane in mask if plane.any()), default=0.0)


def detect(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], voxel_ml: float | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Look for each tumor of the reference in the prediction, and for false tumors; see `metrics.score` for arguments.

    A tumor is found if the prediction's tumor covers a tenth of its voxels; a predicted one is false if less than a
    tenth of it is tumor in the reference.

    Returns:
        {"tumors": list of {"side", "volume_ml", "max_axial_diameter_mm", "covered", "found"}, "false": list of
        {"side", "volume_ml", "max_axial_diameter_mm"}}, largest first; "covered" is a share of voxels.
    """

    def covered(tumor: Tumor, other: np.ndarray) -> float:
        return float((other[tumor.box][tumor.mask] == 2).mean())

    known = [(tumor, covered(tumor, prediction)) for tumor in find_tumors(reference, spacing_mm, voxel_ml=voxel_ml)]
    tumors = [tumor.summary() | {"covered": share, "found": share >= FOUND_SHARE} for tumor, share in known]
    predicted = find_tumors(prediction, spacing_mm, voxel_ml=voxel_ml)
    false = [tumor.summary() for tumor in predicted if covered(tumor, reference) < FOUND_SHARE]
    return {"tumors": tumors, "false": false}


def detection_rates(cases: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Count found and false tumors over the results of `detect`; a rate over nothing is None."""
    cases = list(cases)
    tumors = [tumor for case in cases for tumor in case["tumors"]]
    false = sum(len(case["false"]) for case in cases)
    found = sum(tumor["found"] for tumor in tumors)
    by_size = {name: {"tumors": 0, "found": 0} for name, _ in SIZES_MM}
    for tumor in tumors:
        size = by_size[next(name for name, limit_mm in SIZES_MM if tumor["max_axial_diameter_mm"] <= limit_mm)]
        size["tumors"] += 1
        size["found"] += tumor["found"]
    return {
        "tumors": len(tumors),
        "found": found,
        "sensitivity": found / len(tumors) if tumors else None,
        "false": false,
        "false_per_case": false / len(cases) if cases else None,
        "by_size": by_size,
    }


def side_scores(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float]
) -> dict[str, dict[str, float] | None]:
    """Return Dice of kidney with tumor and of tumor for each side; see `metrics.score` for the arguments.

    Sides are those of the union of prediction and reference.

    Returns:
        {"right": {"kidney_dice", "tumor_dice"}, "left": ...}; None for a side without kidney in either.
    """
    scores: dict[str, dict[str, float] | None] = dict.fromkeys(SIDE_NAMES.values())
    union = (prediction > 0) | (reference > 0)
    box = bounding_box(union)
    if box is None:
        return scores
    sides = _with_all(union, box, _sides(union, box, spacing_mm))
    prediction, reference = prediction[box], reference[box]
    for side, name in SIDE_NAMES.items():
        if (here := sides == side).any():
            dices = [dice((prediction > label) & here, (reference > label) & here) for label in (0, 1)]
            scores[name] = {"kidney_dice": dices[0], "tumor_dice": dices[1]}
    return scores


def _sides(labels: np.ndarray, box: tuple[slice, ...], spacing_mm: Sequence[float]) -> np.ndarray:
    """Return the side map of the part of a label array inside its bounding box."""
    return kidney_sides(labels[box] > 0, tuple(spacing_mm), labels.shape[2] // 2 - box[2].start)


def _with_all(labels: np.ndarray, box: tuple[slice, ...], sides: np.ndarray) -> np.ndarray:
    """Complete the side map of a bounding box: labels outside both kidneys get the side of their column."""
    is_left = np.arange(box[2].start, box[2].stop) >= labels.shape[2] // 2
    by_column = np.where(is_left, np.uint8(LEFT), np.uint8(RIGHT))
    return np.where((labels[box] > 0) & (sides == 0), by_column, sides)


def _diameter_mm(plane: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """Return the largest distance between two points of the outline of a mask [rows, columns], not empty."""
    edge = np.argwhere(plane & ~ndimage.binary_erosion(plane))
    outline = (edge[:, None] + [[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]]).reshape(-1, 2) * spacing_mm
    corners = outline[spatial.ConvexHull(outline).vertices]
    return float(spatial.distance.pdist(corners).max())
