"""Volumes of kidneys and tumors, tumor diameters, and detection of the reference's tumors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from kits_tf.boxes import bounding_box, box_within
from kits_tf.evaluation.metrics import dice
from kits_tf.io.volume import Grid
from kits_tf.laterality import LEFT, RIGHT, SIDE_NAMES, kidney_sides

MIN_TUMOR_ML = 0.1
"""Smaller components count in the total volume but are not listed as tumors."""

FOUND_SHARE = 0.1
"""A tumor is found if the prediction covers this share of its voxels."""

SIZES_MM = (("up to 40 mm", 40.0), ("40 to 70 mm", 70.0), ("over 70 mm", np.inf))
"""Classes by largest axial diameter, at the limits of the T stages T1a, T1b and T2."""


@dataclasses.dataclass(frozen=True)
class Tumor:
    """A component of label 2 by 26-connectivity; `mask` is bool inside its bounding `box`."""

    side: str
    volume_ml: float
    max_axial_diameter_mm: float
    box: tuple[slice, ...]
    mask: np.ndarray = dataclasses.field(repr=False)

    def summary(self) -> dict[str, Any]:
        """Return side, volume and diameter as a dict for JSON."""
        return {name: getattr(self, name) for name in ("side", "volume_ml", "max_axial_diameter_mm")}


def measure(
    labels: np.ndarray, spacing_mm: Sequence[float], sides: np.ndarray | None = None, grid: Grid | None = None
) -> dict[str, Any]:
    """Measure kidneys (label > 0, as the challenge counts), the tissue of kidneys (label 1) and tumors (label 2).

    Args:
        labels: uint8 [slices, rows, columns], axes (I, P, L): 0 background, 1 kidney, 2 tumor.
        spacing_mm: Voxel size (slice, row, column).
        sides: uint8 of the labels' shape, 1 in the right kidney, 2 in the left; by default see `laterality`.
        grid: The labels' grid; without it, volumes are too large if the grid is sheared, and tumors have no position.

    Returns:
        Dict with `kidney_ml`, `kidney_tissue_ml`, `tumor_ml`, `kidneys` (list of {"side", "volume_ml", "tissue_ml",
        "tumor_ml"}, right before left, empty sides left out) and `tumors` (list of {"side", "volume_ml",
        "max_axial_diameter_mm"} and the entries of `place`, largest first).

    Example:
        >>> labels = np.zeros((4, 20, 40), np.uint8)
        >>> labels[:, 5:15, 5:15] = 1
        >>> measure(labels, (5.0, 2.0, 2.0))["kidneys"]
        [{'side': 'right', 'volume_ml': 8.0, 'tissue_ml': 8.0, 'tumor_ml': 0.0}]
    """
    box = bounding_box(labels)
    if box is None:
        return {"kidney_ml": 0.0, "kidney_tissue_ml": 0.0, "tumor_ml": 0.0, "kidneys": [], "tumors": []}
    voxel_ml = grid.voxel_ml if grid else float(np.prod(spacing_mm)) / 1000
    sides = _sides(labels, box, spacing_mm) if sides is None else np.where(labels[box] > 0, sides[box], 0)

    def volumes_ml(mask: np.ndarray) -> list[float]:
        counts = [int(np.count_nonzero(mask & found)) for found in (inside > 0, inside == 1, inside == 2)]
        return [round(count * voxel_ml, 3) for count in counts]

    inside = labels[box]
    whole = dict(zip(("kidney_ml", "kidney_tissue_ml", "tumor_ml"), volumes_ml(inside > 0), strict=True))
    by_side = {name: volumes_ml(sides == side) for side, name in SIDE_NAMES.items()}
    entries = ("volume_ml", "tissue_ml", "tumor_ml")
    tumors = find_tumors(labels, spacing_mm, sides, voxel_ml)
    return whole | {
        "kidneys": [
            {"side": name, **dict(zip(entries, found, strict=True))} for name, found in by_side.items() if found[0]
        ],
        "tumors": [tumor.summary() | (place(tumor, grid) if grid else {}) for tumor in tumors],
    }


def without_tumors(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result of `measure` for a prediction without a tumor network: unknown numbers are None."""
    kidneys = [kidney | {"tissue_ml": None, "tumor_ml": None} for kidney in measured["kidneys"]]
    return {**measured, "kidney_tissue_ml": None, "tumor_ml": None, "kidneys": kidneys, "tumors": None}


def place(tumor: Tumor, grid: Grid) -> dict[str, Any]:
    """Return the position of a tumor in the coordinates that viewers of the label file and CT show.

    Returns:
        {"centroid_ras_mm": [x, y, z], "slices": [first, last] axial slice by the label file's own index from 0,
        "z_mm": of both in RAS} and, if the grid has them, "instances", the DICOM Instance Numbers of both.
    """
    centroid = np.argwhere(tumor.mask).mean(axis=0) + [side.start for side in tumor.box]
    ends = sorted((tumor.box[0].start, tumor.box[0].stop - 1), key=lambda index: grid.file_index(0, index))
    points = np.array([[*centroid, 1], *([index, *centroid[1:], 1] for index in ends)]) @ grid.affine[:3].T
    found = {
        "centroid_ras_mm": [round(value, 1) + 0.0 for value in points[0].tolist()],
        "slices": [grid.file_index(0, index) for index in ends],
        "z_mm": [round(value, 2) + 0.0 for value in points[1:, 2].tolist()],
    }
    return found | ({"instances": [grid.instances[index] for index in ends]} if grid.instances else {})


def finding(measured: Mapping[str, Any]) -> str:
    """Return the finding in words, from `measure` or a sidecar.

    Example:
        >>> finding({"kidney_ml": 310.0, "tumor_ml": 0.0, "tumors": []})
        'no tumor found'
    """
    tumors = measured.get("tumors")
    if not measured.get("kidney_ml"):
        return "no kidney found"
    if tumors is None:
        return "tumors not looked for"
    if not tumors:
        return f"no tumor of {MIN_TUMOR_ML} ml or more found" if measured["tumor_ml"] else "no tumor found"
    first = f"{tumors[0]['side']}, {tumors[0]['volume_ml']:.1f} ml, {tumors[0]['max_axial_diameter_mm']:.1f} mm"
    return f"1 tumor found: {first}" if len(tumors) == 1 else f"{len(tumors)} tumors found, the largest {first}"


def find_tumors(
    labels: np.ndarray, spacing_mm: Sequence[float], sides: np.ndarray | None = None, voxel_ml: float | None = None
) -> list[Tumor]:
    """Return the tumors of 0.1 ml or more, largest first; `sides` covers only the bounding box of the labels."""
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
    """Find each tumor of the reference in the prediction, and false tumors; for the arguments see `metrics.score`.

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
    """Return the Dice of kidney with tumor and of tumor by side; for the arguments see `metrics.score`.

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
    """Complete the side map of a bounding box: labels outside both kidneys get the side of the body they lie in."""
    is_left = np.arange(box[2].start, box[2].stop) >= labels.shape[2] // 2
    by_column = np.where(is_left, np.uint8(LEFT), np.uint8(RIGHT))
    return np.where((labels[box] > 0) & (sides == 0), by_column, sides)


def _diameter_mm(plane: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """Return the largest distance between two points of the outline of a mask [rows, columns], not empty."""
    rows = np.flatnonzero(plane.any(axis=1))  # the two most distant points are at the ends of their rows
    first, last = plane[rows].argmax(axis=1), plane.shape[1] - 1 - plane[rows, ::-1].argmax(axis=1)
    ends = np.stack([np.concatenate([rows, rows]), np.concatenate([first, last])], axis=1)
    outline = (ends[:, None] + [[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]]).reshape(-1, 2) * spacing_mm
    return float(np.sqrt(((outline[:, None] - outline) ** 2).sum(axis=2).max()))
