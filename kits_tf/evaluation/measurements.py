"""What a reader wants to know of labels: volumes by side, and each tumor's size."""

import numpy as np
from scipy import ndimage, spatial

from kits_tf.laterality import LEFT, RIGHT, SIDE_NAMES, bounding_box, kidney_sides

MIN_TUMOR_ML = 0.1
"""Smaller components of tumor are counted in the total but not listed as tumors of their own."""

_ALL_NEIGHBOURS = np.ones((3, 3, 3), bool)


def measure(labels, spacing_mm, sides=None):
    """Measures kidneys and tumors.

    "Kidney" is label > 0, kidney with its tumor, as the challenge counts. A tumor is a component of label 2 whose
    voxels touch at least at a corner; those under 0.1 ml are left out of the list, not out of `tumor_ml`.

    Args:
        labels: uint8 [slices, rows, columns], axes (I, P, L): 0 background, 1 kidney, 2 tumor.
        spacing_mm: (slice, row, column).
        sides: uint8 of the labels' shape, 1 on the patient's right kidney, 2 on the left, 0 elsewhere; by default
            each component of 2 ml or more belongs to the side of the volume's middle column that holds its centroid.

    Returns:
        Dict with `kidney_ml`, `tumor_ml`, `kidneys` (list of {"side", "volume_ml"}, right before left, those not
        empty) and `tumors` (list of {"side", "volume_ml", "max_axial_diameter_mm"}, largest first). Volumes have
        three decimals, diameters two.
    """
    box = bounding_box(labels)
    if box is None:
        return {"kidney_ml": 0.0, "tumor_ml": 0.0, "kidneys": [], "tumors": []}
    middle = labels.shape[2] // 2 - box[2].start
    labels = labels[box]
    sides = kidney_sides(labels > 0, spacing_mm, middle) if sides is None else np.where(labels > 0, sides[box], 0)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    counts, by_side = counts_of(labels), counts_of(sides)
    return {
        "kidney_ml": round(float(counts[1] + counts[2]) * voxel_ml, 3),
        "tumor_ml": round(float(counts[2]) * voxel_ml, 3),
        "kidneys": [
            {"side": SIDE_NAMES[side], "volume_ml": round(float(by_side[side]) * voxel_ml, 3)}
            for side in (RIGHT, LEFT)
            if by_side[side]
        ],
        "tumors": tumors(labels == 2, sides, spacing_mm, middle),
    }


def counts_of(values):
    """How many voxels of uint8 [slices, rows, columns] are 0, 1 and 2; slice by slice, for it takes int64 of them."""
    return sum(np.bincount(plane.ravel(), minlength=3) for plane in values)


def tumors(mask, sides, spacing_mm, middle):
    """The tumors of a mask, largest first; see `measure`.

    Args:
        mask: bool [slices, rows, columns].
        sides: uint8 of the mask's shape: 1 right, 2 left; a tumor outside both goes by its centroid.
        spacing_mm: (slice, row, column).
        middle: first column of the left half.
    """
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    components, _ = ndimage.label(mask, _ALL_NEIGHBOURS)
    found = []
    for number, box in enumerate(ndimage.find_objects(components), 1):
        tumor = components[box] == number
        volume_ml = float(tumor.sum()) * voxel_ml
        if volume_ml < MIN_TUMOR_ML:
            continue
        found.append(
            {
                "side": SIDE_NAMES[_side(tumor, sides[box], middle - box[2].start)],
                "volume_ml": round(volume_ml, 3),
                "max_axial_diameter_mm": round(max_axial_diameter_mm(tumor, spacing_mm), 2),
            }
        )
    return sorted(found, key=lambda tumor: -tumor["volume_ml"])


def max_axial_diameter_mm(mask, spacing_mm):
    """The largest distance between two points of a mask's outline in one and the same axial slice.

    The outline runs where it does for an area of uniform voxels, half a voxel outside the outermost voxel centres, so
    one voxel's own extent is included: a single voxel measures its longer side.

    Args:
        mask: bool [slices, rows, columns].
        spacing_mm: (slice, row, column).

    Returns:
        Millimetres; 0 for an empty mask.
    """
    return max((_diameter_mm(plane, spacing_mm[1:]) for plane in mask if plane.any()), default=0.0)


def _diameter_mm(plane, spacing_mm):
    """The largest distance between two points of the outline of a mask [rows, columns] that is not empty."""
    points = np.concatenate([_row_ends(plane), _row_ends(plane.T)[:, ::-1]]) * np.asarray(spacing_mm)
    corners = points[spatial.ConvexHull(points).vertices]
    return float(spatial.distance.pdist(corners).max())


def _row_ends(plane):
    """(row, column) of the outline left and right of each row's outermost voxels."""
    rows = np.flatnonzero(plane.any(axis=1))
    first = plane[rows].argmax(axis=1) - 0.5
    last = plane.shape[1] - plane[rows, ::-1].argmax(axis=1) - 0.5
    return np.concatenate([np.stack([rows, first], axis=1), np.stack([rows, last], axis=1)])


def _side(tumor, sides, middle):
    """The side that holds most of a tumor."""
    right, left = (np.count_nonzero(sides[tumor] == side) for side in (RIGHT, LEFT))
    if right or left:
        return RIGHT if right >= left else LEFT
    return RIGHT if np.argwhere(tumor)[:, 2].mean() + 0.5 <= middle else LEFT
