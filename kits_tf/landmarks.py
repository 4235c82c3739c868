"""Anatomical landmarks that show a CT stored the wrong way round under a header that says otherwise.

The spine lies at the back, the lungs lie above the abdomen, and a patient is wider than deep. Left and right have no
such landmark.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from kits_tf import geometry

REMEDY = "check the orientation in its header"

GRID_MM = (10.0, 4.0, 4.0)  # about the distance of the voxels that are looked at
MAX_DEPTH_TO_WIDTH = 1.25  # of the body: a patient on the back is wider than deep
BONE_HU = 200
MIN_BONE_ML = 20.0  # in the middle fifth of the body, for the spine to be seen
MIN_FRONT_SHARE = 2 / 3  # of the slices, with more bone in front: at most 0.32 in real CTs, at least 0.68 turned round
LUNG_HU = (-960, -600)  # gas in the bowel is darker
MIN_LUNG_CM2 = 60.0  # of a slice at the last end; real CTs that show lungs have 108 to 288 there if upside down
MAX_UPPER_CM2 = 20.0  # of a slice in the upper half, where abdomen or pelvis would lie; 1 to 15 there


def orientation_warnings(hu: np.ndarray, spacing_mm: Sequence[float]) -> list[str]:
    """Return reasons for a warning, to be followed by `REMEDY`: spine or lungs on the wrong side, or swapped axes.

    Args:
        hu: [slices, rows, columns] in HU, axes I, P, L.
        spacing_mm: (slice, row, column).

    Example:
        >>> orientation_warnings(np.full((20, 60, 80), 40, np.int16), (5.0, 5.0, 5.0))
        []
    """
    steps = [max(1, int(wanted // mm)) for wanted, mm in zip(GRID_MM, spacing_mm, strict=True)]
    coarse = hu[tuple(slice(None, None, step) for step in steps)]
    sides_mm = np.multiply(spacing_mm, steps).tolist()
    box, whole = geometry.body_box(coarse, sides_mm), geometry.whole_box(coarse.shape)
    coarse = coarse[box.slices]
    found = []
    depth_mm, width_mm = np.multiply(coarse.shape, sides_mm)[1:]
    if box != whole and depth_mm > MAX_DEPTH_TO_WIDTH * width_mm:
        said = f"the body is {depth_mm:.0f} mm deep and {width_mm:.0f} mm wide"
        found.append(f"{said}: axes may be swapped")
    if _is_spine_in_front(coarse, float(np.prod(sides_mm)) / 1000):
        found.append("the spine lies in front: rows may be stored back to front")
    if _are_lungs_below(coarse, float(np.prod(sides_mm[1:])) / 100):
        found.append("the lungs lie below: slices may be stored upside down")
    return found


def _is_spine_in_front(hu: np.ndarray, voxel_ml: float) -> bool:
    """Return whether most slices have more bone in the front half of the body than in the back half."""
    height, width = hu.shape[1:]
    bone = hu[:, :, 2 * width // 5 : -(-3 * width // 5)] > BONE_HU
    front, back = (np.count_nonzero(part, axis=(1, 2)) for part in (bone[:, : height // 2], bone[:, -(height // 2) :]))
    if np.sum(front + back) * voxel_ml < MIN_BONE_ML:
        return False
    return bool(np.sum(front > back) > MIN_FRONT_SHARE * np.sum(front != back))


def _are_lungs_below(hu: np.ndarray, pixel_cm2: float) -> bool:
    """Return whether lung, the air inside the body that is not as dark as gas, is in the last slices alone."""
    areas_cm2 = np.array([_lung_pixels(image) for image in hu]) * pixel_cm2
    upper, last = areas_cm2[: len(hu) // 2], areas_cm2[-max(1, len(hu) // 10) :]
    return bool(len(upper) and upper.mean() < MAX_UPPER_CM2 and last.mean() > MIN_LUNG_CM2)


def _lung_pixels(image: np.ndarray) -> int:
    """Return how many pixels of a slice [rows, columns] are lung."""
    inside = ndimage.binary_fill_holes(image > geometry.BODY_HU)
    return int(np.count_nonzero(inside & (image > LUNG_HU[0]) & (image < LUNG_HU[1])))
