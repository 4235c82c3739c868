"""Which tumors were found and which were missed, one by one, and left and right apart."""

import numpy as np
from scipy import ndimage

from kits_tf.evaluation.measurements import MIN_TUMOR_ML, tumors
from kits_tf.evaluation.metrics import dice
from kits_tf.laterality import LEFT, RIGHT, SIDE_NAMES, bounding_box, kidney_sides

FOUND_SHARE = 0.1
"""A tumor counts as found where the prediction covers this share of its voxels."""

SIZES_MM = (("up to 40 mm", 40.0), ("40 to 70 mm", 70.0), ("over 70 mm", np.inf))
"""Classes by largest axial diameter, at the limits of the T stages T1a, T1b and T2."""

_ALL_NEIGHBOURS = np.ones((3, 3, 3), bool)


def detect(prediction, reference, spacing_mm):
    """Finds each tumor of the reference in the prediction, and what was predicted where there is none.

    A tumor is a component of label 2 of 0.1 ml or more whose voxels touch at least at a corner. It is found where the
    prediction's tumor covers a tenth of its voxels; a predicted one is false where less than a tenth of it is tumor.

    Args:
        prediction: uint8 [slices, rows, columns].
        reference: uint8 of the same shape.
        spacing_mm: (slice, row, column).

    Returns:
        {"tumors": list of {"side", "volume_ml", "max_axial_diameter_mm", "covered", "found"}, largest first,
        "false": list of {"side", "volume_ml", "max_axial_diameter_mm"}}; "covered" is a share of voxels.
    """
    known = _covered(reference, prediction, spacing_mm)
    told = _covered(prediction, reference, spacing_mm)
    for tumor in known:
        tumor["found"] = tumor["covered"] >= FOUND_SHARE
    false = [tumor for tumor in told if tumor.pop("covered") < FOUND_SHARE]
    return {"tumors": known, "false": false}


def detection_rates(cases):
    """How many tumors were found over all cases, by size, and false ones a case.

    Args:
        cases: iterable of what `detect` gave.

    Returns:
        {"tumors", "found", "sensitivity", "false", "false_per_case", "by_size": {class: {"tumors", "found"}}}; a rate
        without anything to count is None.
    """
    cases = list(cases)
    known = [tumor for case in cases for tumor in case["tumors"]]
    false = sum(len(case["false"]) for case in cases)
    found = sum(tumor["found"] for tumor in known)
    by_size = {name: {"tumors": 0, "found": 0} for name, _ in SIZES_MM}
    for tumor in known:
        name = next(name for name, limit_mm in SIZES_MM if tumor["max_axial_diameter_mm"] <= limit_mm)
        by_size[name]["tumors"] += 1
        by_size[name]["found"] += tumor["found"]
    return {
        "tumors": len(known),
        "found": found,
        "sensitivity": found / len(known) if known else None,
        "false": false,
        "false_per_case": false / len(cases) if cases else None,
        "by_size": by_size,
    }


def side_scores(prediction, reference, spacing_mm):
    """Dice of the right and of the left kidney with its tumor, and of the tumor there.

    Prediction and reference are divided together: each component of their union goes to one side as in
    `sides.kidney_sides`, what is too small for that by its column.

    Args:
        prediction: uint8 [slices, rows, columns].
        reference: uint8 of the same shape.
        spacing_mm: (slice, row, column).

    Returns:
        {"right": {"kidney_dice", "tumor_dice"}, "left": ...}; None for a side on which neither has any kidney.
    """
    union = (prediction > 0) | (reference > 0)
    box = bounding_box(union)
    if box is None:
        return dict.fromkeys(SIDE_NAMES.values())
    middle = prediction.shape[2] // 2 - box[2].start
    prediction, reference, union = prediction[box], reference[box], union[box]
    sides = kidney_sides(union, spacing_mm, middle)
    by_column = np.where(np.arange(union.shape[2]) < middle, RIGHT, LEFT)
    sides = np.where(union & (sides == 0), by_column, sides)
    found = {}
    for side, name in SIDE_NAMES.items():
        here = sides == side
        found[name] = None
        if here.any():
            found[name] = {
                f"{structure}_dice": dice((prediction > label) & here, (reference > label) & here)
                for structure, label in (("kidney", 0), ("tumor", 1))
            }
    return found


def _covered(labels, others, spacing_mm):
    """The tumors of a label array as `measure` lists them, each with the share of it that is tumor in the other."""
    middle = labels.shape[2] // 2
    box = bounding_box(labels)
    if box is None:
        return []
    middle -= box[2].start
    labels, others = labels[box], others[box]
    sides = kidney_sides(labels > 0, spacing_mm, middle)
    components, _ = ndimage.label(labels == 2, _ALL_NEIGHBOURS)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    listed = []
    for number, place in enumerate(ndimage.find_objects(components), 1):
        tumor = components[place] == number
        if np.count_nonzero(tumor) * voxel_ml < MIN_TUMOR_ML:
            continue
        (found,) = tumors(tumor, sides[place], spacing_mm, middle - place[2].start)
        listed.append(found | {"covered": float((others[place][tumor] == 2).mean())})
    return sorted(listed, key=lambda tumor: -tumor["volume_ml"])
