"""Area-weighted distances between the surfaces of two masks.

The definition of Nikolov et al. 2018, "Deep learning to achieve clinically applicable segmentation of head and neck
anatomy for radiotherapy", as used by KiTS21 and KiTS23: the surface passes through the corners where eight voxels
meet, some inside the mask and some outside; each corner carries the area of the marching-cubes triangles of its
pattern; its distance is that to the nearest such corner of the other mask, found in a k-d tree.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import numpy as np

from kits_tf.boxes import bounding_box


@dataclasses.dataclass(frozen=True)
class SurfaceDistances:
    """Distances from each surface element of one mask to the other surface, and back, with the elements' areas."""

    there_mm: np.ndarray
    there_mm2: np.ndarray
    back_mm: np.ndarray
    back_mm2: np.ndarray

    def dice(self, tolerance_mm: float) -> float:
        """Return the surface Dice: the share of both surfaces within a tolerance of the other."""
        close = self.there_mm2[self.there_mm <= tolerance_mm].sum() + self.back_mm2[self.back_mm <= tolerance_mm].sum()
        return float(close / (self.there_mm2.sum() + self.back_mm2.sum()))

    def hausdorff_mm(self, share: float = 1.0) -> float:
        """Return the distance that `share` of each surface does not exceed, the larger of both directions."""
        there = _weighted_quantile(self.there_mm, self.there_mm2, share)
        return max(there, _weighted_quantile(self.back_mm, self.back_mm2, share))


def surface_distances(first: np.ndarray, second: np.ndarray, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Measure the distances between the surfaces of two masks, bool [slices, rows, columns], neither empty.

    Example:
        >>> mask = np.zeros((3, 8, 8), bool)
        >>> mask[1, 2:5, 2:5] = True
        >>> surface_distances(mask, np.roll(mask, 1, axis=2), (3.0, 0.8, 0.8)).hausdorff_mm()
        0.8
    """
    corners, areas = surface_elements(first, spacing_mm)
    others, other_areas = surface_elements(second, spacing_mm)
    there_mm, back_mm = _nearest_mm(corners, others, spacing_mm), _nearest_mm(others, corners, spacing_mm)
    return SurfaceDistances(there_mm, areas, back_mm, other_areas)


def surface_elements(mask: np.ndarray, spacing_mm: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the surface elements of a mask, bool [slices, rows, columns], not empty.

    Returns:
        Corners, int64 [elements, 3], each the (slice, row, column) of the last of the eight voxels that meet there;
        and their areas in mm^2, float64 [elements].
    """
    box = bounding_box(mask)
    assert box is not None, "the mask must not be empty"
    padded = np.pad(mask[box], 1).view(np.uint8)
    patterns = np.zeros([side - 1 for side in padded.shape], np.uint8)
    for bit, corner in enumerate(itertools.product(range(2), repeat=3)):
        window = tuple(slice(start, start + side) for start, side in zip(corner, patterns.shape, strict=True))
        patterns |= padded[window] << bit
    corners = np.argwhere((patterns != 0) & (patterns != 255))
    areas = pattern_areas(tuple(float(side) for side in spacing_mm))[patterns[tuple(corners.T)]]
    return corners + [side.start for side in box], areas


@functools.lru_cache(maxsize=8)
def pattern_areas(spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Return the surface area in each of the 256 patterns of eight neighbouring voxels.

    Marching cubes (Lorensen and Cline 1987) of the pattern or, if more than four voxels are inside, of its complement:
    inside and outside are treated alike.

    Returns:
        Areas in mm^2, float64 [256]; bit 4 i + 2 j + k of the index stands for the voxel (i, j, k).
    """
    from skimage import measure

    areas = np.zeros(256)
    for pattern in range(1, 255):
        cube = np.unpackbits(np.uint8(pattern), bitorder="little").reshape(2, 2, 2).astype(np.float32)
        fewer = cube if cube.sum() <= 4 else 1 - cube
        vertices, faces, _, _ = measure.marching_cubes(fewer, 0.5, spacing=spacing_mm, method="lorensen")
        areas[pattern] = measure.mesh_surface_area(vertices.astype(np.float64), faces)
    return areas


def _nearest_mm(corners: np.ndarray, others: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Return each corner's distance to the nearest of the others."""
    from scipy import spatial

    spacing = np.asarray(spacing_mm, np.float64)
    nearest = spatial.cKDTree(others * spacing).query(corners * spacing, workers=-1)[1]
    # From the difference of indices, so that one voxel is exactly the spacing: a tolerance may equal it.
    return np.sqrt((((corners - others[nearest]) * spacing) ** 2).sum(axis=1))


def _weighted_quantile(distances: np.ndarray, areas: np.ndarray, share: float) -> float:
    """Return the smallest distance within which at least this share of the area lies."""
    order = np.lexsort((areas, distances))
    reached = np.cumsum(areas[order]) / areas.sum()
    # A sum that reaches the share exactly may be rounded below it, depending on the order of its terms.
    rounding = len(order) * np.finfo(np.float64).eps
    return float(distances[order[min(np.searchsorted(reached, share - rounding), len(order) - 1)]])
