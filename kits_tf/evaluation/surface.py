"""Distances between the surfaces of two masks, each piece of surface weighed by its area.

The definition is that of Nikolov et al. 2018, "Deep learning to achieve clinically applicable segmentation of head and
neck anatomy for radiotherapy", whose program scores KiTS21 and KiTS23: a surface passes between the voxel centres,
through the corners where eight voxels meet; a corner with some of its eight voxels inside and some outside carries the
area of the marching-cubes triangles of that pattern; a distance is that to the nearest such corner of the other mask.
Here the areas come from scikit-image and the distances from a k-d tree over the corners, so that time and memory go
with the surface and not with the volume around it.
"""

import dataclasses
import functools

import numpy as np
from scipy import spatial

from kits_tf.laterality import bounding_box

PATTERNS = 256
_SLICES_AT_ONCE = 32
_CORNERS = tuple((i, j, k) for i in range(2) for j in range(2) for k in range(2))


@dataclasses.dataclass(frozen=True)
class SurfaceDistances:
    """From every piece of one mask's surface to the other's surface, and back.

    Attributes:
        there_mm: distances from the first surface's pieces to the second surface.
        there_mm2: the areas of these pieces.
        back_mm: distances from the second surface's pieces to the first surface.
        back_mm2: the areas of these pieces.
    """

    there_mm: np.ndarray
    there_mm2: np.ndarray
    back_mm: np.ndarray
    back_mm2: np.ndarray

    def dice(self, tolerance_mm):
        """The share of both surfaces that lies within a tolerance of the other (surface Dice)."""
        close = self.there_mm2[self.there_mm <= tolerance_mm].sum() + self.back_mm2[self.back_mm <= tolerance_mm].sum()
        return float(close / (self.there_mm2.sum() + self.back_mm2.sum()))

    def hausdorff_mm(self, share=1.0):
        """The distance that this share of each surface keeps to the other at most; the larger of both directions."""
        there = _weighted_quantile(self.there_mm, self.there_mm2, share)
        return max(there, _weighted_quantile(self.back_mm, self.back_mm2, share))


def surface_distances(first, second, spacing_mm, workers=-1):
    """Measures the distances between the surfaces of two masks.

    Args:
        first: bool [slices, rows, columns], not empty.
        second: bool of the same shape, not empty.
        spacing_mm: (slice, row, column).
        workers: threads; -1 takes all processors.

    Returns:
        `SurfaceDistances`.
    """
    first_corners, first_mm2 = surface(first, spacing_mm)
    second_corners, second_mm2 = surface(second, spacing_mm)
    return SurfaceDistances(
        there_mm=_nearest_mm(first_corners, second_corners, spacing_mm, workers),
        there_mm2=first_mm2,
        back_mm=_nearest_mm(second_corners, first_corners, spacing_mm, workers),
        back_mm2=second_mm2,
    )


def surface(mask, spacing_mm):
    """The pieces of a mask's surface.

    Args:
        mask: bool [slices, rows, columns], not empty.
        spacing_mm: (slice, row, column).

    Returns:
        (corners, areas): corners int64 [pieces, 3], the (slice, row, column) of the last of the eight voxels that meet
        there; areas float64 [pieces] in mm^2.
    """
    box = bounding_box(mask)
    padded = np.pad(mask[box], 1)
    areas = pattern_areas(tuple(float(side) for side in spacing_mm))
    corners, patterns = [], []
    for start in range(0, padded.shape[0] - 1, _SLICES_AT_ONCE):
        pattern = _patterns(padded[start : start + _SLICES_AT_ONCE + 1])
        crossed = np.argwhere((pattern != 0) & (pattern != PATTERNS - 1))
        patterns.append(pattern[tuple(crossed.T)])
        corners.append(crossed + [start, 0, 0])
    origin = [side.start for side in box]
    return np.concatenate(corners) + origin, areas[np.concatenate(patterns)]


@functools.lru_cache(maxsize=8)
def pattern_areas(spacing_mm):
    """The surface area in each of the 256 patterns of eight neighbouring voxels.

    Marching cubes (Lorensen and Cline 1987) of the pattern or, where more than four voxels are inside, of its
    complement: inside and outside are treated alike.

    Args:
        spacing_mm: (slice, row, column) as a tuple.

    Returns:
        float64 [256] in mm^2; bit 4 i + 2 j + k of the index stands for the voxel (i, j, k).
    """
    from skimage import measure

    areas = np.zeros(PATTERNS)
    for pattern in range(1, PATTERNS - 1):
        cube = np.unpackbits(np.uint8(pattern), bitorder="little").reshape(2, 2, 2).astype(np.float32)
        fewer = cube if cube.sum() <= 4 else 1 - cube
        vertices, faces, _, _ = measure.marching_cubes(fewer, 0.5, spacing=spacing_mm, method="lorensen")
        areas[pattern] = measure.mesh_surface_area(vertices.astype(np.float64), faces)
    return areas


def _nearest_mm(corners, others, spacing_mm, workers):
    """Each corner's distance to the nearest of the others.

    It is taken from the difference of the indices, so that one voxel apart is exactly the spacing, at any position: a
    tolerance may equal it.
    """
    spacing_mm = np.asarray(spacing_mm, np.float64)
    nearest = spatial.cKDTree(others * spacing_mm).query(corners * spacing_mm, workers=workers)[1]
    return np.sqrt((((corners - others[nearest]) * spacing_mm) ** 2).sum(axis=1))


def _patterns(mask):
    """The pattern of each 2x2x2 neighbourhood of a mask, as an index into `pattern_areas`."""
    size = tuple(side - 1 for side in mask.shape)
    patterns = np.zeros(size, np.uint8)
    for bit, corner in enumerate(_CORNERS):
        window = tuple(slice(start, start + length) for start, length in zip(corner, size, strict=True))
        patterns |= mask[window].astype(np.uint8) << np.uint8(bit)
    return patterns


def _weighted_quantile(distances, areas, share):
    """The smallest distance that at least this share of the area does not exceed.

    A sum of areas that reaches the share exactly may come out below it by as much as its terms are rounded; it counts
    as reaching it, or which distance is taken would hang on the order in which the areas are added.
    """
    order = np.lexsort((areas, distances))
    reached = np.cumsum(areas[order]) / areas.sum()
    rounding = len(order) * np.finfo(np.float64).eps
    return float(distances[order[min(np.searchsorted(reached, share - rounding), len(order) - 1)]])
