"""Sampling grids, and smooth random fields in patient space that are independent of the sampling grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from kits_tf.boxes import Box

Bounds = tuple[np.ndarray, np.ndarray]
"""(low, high) corners of a box in mm, (z, y, x)."""

Vector = Sequence[float] | np.ndarray
"""Three numbers (z, y, x), mostly in mm."""


def random_generator(*key: int) -> np.random.Generator:
    """Return the generator that a key of integers seeds; it is independent of other draws."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([int(part) for part in key])))


@dataclasses.dataclass(frozen=True)
class Grid:
    """Voxel centres of a box of voxels in patient mm, float32, (z, y, x) = (inferior, posterior, left)."""

    axes: tuple[np.ndarray, ...]
    spacing_mm: tuple[float, ...]

    @classmethod
    def regular(
        cls, shape: Sequence[int] | np.ndarray, spacing_mm: Vector, origin_mm: Vector, first_slice: int = 0
    ) -> Grid:
        """Return the grid of `shape` voxels from `first_slice` on of a volume whose first voxel is at `origin_mm`."""
        axes = tuple(
            (origin + step * np.arange(first, first + count)).astype(np.float32)
            for count, step, origin, first in zip(shape, spacing_mm, origin_mm, (first_slice, 0, 0), strict=True)
        )
        return cls(axes, tuple(spacing_mm))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels (z, y, x)."""
        return tuple(map(len, self.axes))

    def box(self, bounds: Bounds, margin: int = 1) -> Box | None:
        """Return the voxels within `bounds` plus `margin` voxels; None if there are none."""
        slices = []
        for axis, spacing, low, high in zip(self.axes, self.spacing_mm, *bounds, strict=True):
            start = int(np.searchsorted(axis, low - margin * spacing))
            stop = int(np.searchsorted(axis, high + margin * spacing, side="right"))
            if start >= stop:
                return None
            slices.append(slice(start, stop))
        return tuple(slices)

    def crop(self, box: Box) -> Grid:
        """Return the grid of a box of its voxels."""
        return Grid(tuple(axis[part] for axis, part in zip(self.axes, box, strict=True)), self.spacing_mm)

    def open(self) -> tuple[np.ndarray, ...]:
        """Return coordinates that broadcast against each other: [z, 1, 1], [1, y, 1] and [1, 1, x]."""
        return np.ix_(*self.axes)


class Field:
    """A cubic B-spline over a lattice of coefficients from `low` mm on, sampled by one small matrix per axis."""

    def __init__(self, coefficients: np.ndarray, low: Vector, step_mm: Vector | float) -> None:
        self.coefficients = np.asarray(coefficients, np.float32)
        self.low = np.asarray(low, float)
        self.step_mm = np.broadcast_to(np.asarray(step_mm, float), 3)

    @classmethod
    def noise(cls, rng: np.random.Generator, bounds: Bounds, step_mm: float) -> Field:
        """Return a field of mean 0 and standard deviation 1 within `bounds`, with a grain of about `step_mm`."""
        low, high = bounds
        step = np.broadcast_to(np.asarray(step_mm, float), 3)
        shape = np.ceil((high - low) / step).astype(int) + 4
        # Over white coefficients, a cubic B-spline has a mean square of 151/315 along each axis: scaled back to 1.
        return cls(rng.standard_normal(shape, np.float32) * np.float32((151 / 315) ** -1.5), low - step, step)

    def sample(self, grid: Grid) -> np.ndarray:
        """Return the values at a grid's voxel centres, float32 [z, y, x]; the border values continue outside."""
        matrices = [
            _spline_matrix(axis, low, step, count)
            for axis, low, step, count in zip(grid.axes, self.low, self.step_mm, self.coefficients.shape, strict=True)
        ]
        used = [np.flatnonzero(matrix.any(axis=0)) for matrix in matrices]
        values = self.coefficients[np.ix_(*used)]
        z, y, x = (matrix[:, columns] for matrix, columns in zip(matrices, used, strict=True))
        values = np.tensordot(z, values, (1, 0))  # [z, b, c]
        values = np.matmul(y, values)  # [z, y, c]
        return np.matmul(values, x.T)


def _spline_matrix(positions: np.ndarray, low: float, step: float, count: int) -> np.ndarray:
    """Return cubic B-spline weights [positions, count] of the lattice points `low + step * i`."""
    at = np.clip((np.asarray(positions, float) - low) / step, 0, count - 1)
    base = np.floor(at).astype(int)
    t = at - base
    weights = ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6)
    matrix = np.zeros((len(at), count), np.float32)
    rows = np.arange(len(at))
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        np.add.at(matrix, (rows, np.clip(base + offset, 0, count - 1)), weight)
    return matrix
