"""Anatomical landmarks that reveal a CT whose header states the wrong orientation.

The spine is at the back, the lungs are above the abdomen, and a patient is wider than deep. No such landmark tells
left from right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from kits_tf import geometry

REMEDY = "check the orientation in its header"

GRID_MM = (10.0, 4.0, 4.0)  # approximate spacing of the voxels that are used
MAX_DEPTH_TO_WIDTH = 1.25  # of the body of a patient on the back
BONE_HU = 200
MIN_BONE_ML = 20.0  # least bone in the middle fifth of the body that can be the spine
MIN_FRONT_SHARE = 2 / 3  # of slices with more bone in front: up to 0.32 in real CTs, from 0.68 in the same turned
LUNG_HU = (-960, -600)  # gas in the bowel is darker
MIN_LUNG_CM2 = 60.0  # in each of the last slices; 108 to 288 in real CTs with lungs, turned upside down
MAX_UPPER_CM2 = 20.0  # in each slice of the upper half; 1 to 15 in these, where it shows abdomen or pelvis


def orientation_warnings(hu: np.ndarray, spacing_mm: Sequence[float]) -> list[str]:
    """Return warnings, without `REMEDY`, if spine or lungs are on the wrong side or axes are swapped.

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
    """Return whether only the last slices show lung: air inside the body that is less dark than gas."""
    areas_cm2 = np.array([_lung_pixels(image) for image in hu]) * pixel_cm2
    upper, last = areas_cm2[: len(hu) // 2], areas_cm2[-max(1, len(hu) // 10) :]
    return bool(len(upper) and upper.mean() < MAX_UPPER_CM2 and last.mean() > MIN_LUNG_CM2)


def _lung_pixels(image: np.ndarray) -> int:
    """Return how many pixels of a slice [rows, columns] are lung."""
    inside = ndimage.binary_fill_holes(image > geometry.BODY_HU)
    return int(np.count_nonzero(inside & (image > LUNG_HU[0]) & (image < LUNG_HU[1])))
