"""Smooth random fields in patient space, the same whatever grid they are sampled on."""

import numpy as np


class Field:
    """A cubic B-spline over a lattice of coefficients; sampled on a grid by one small matrix an axis.

    Args:
        coefficients: float array [a, b, c].
        low: mm of the lattice's first point, (z, y, x).
        step_mm: lattice spacing, (z, y, x).
    """

    def __init__(self, coefficients, low, step_mm):
        self.coefficients = np.asarray(coefficients, np.float32)
        self.low = np.asarray(low, float)
        self.step_mm = np.broadcast_to(np.asarray(step_mm, float), 3)

    @classmethod
    def noise(cls, rng, bounds, step_mm):
        """A field of mean 0 and standard deviation 1 within `bounds` (mm), whose grain is about `step_mm`."""
        low, high = (np.asarray(b, float) for b in bounds)
        step = np.broadcast_to(np.asarray(step_mm, float), 3)
        shape = np.ceil((high - low) / step).astype(int) + 4
        # A cubic B-spline over white coefficients has a mean square of 151/315 in each axis: brought back to 1.
        return cls(rng.standard_normal(shape, np.float32) * np.float32((151 / 315) ** -1.5), low - step, step)

    def sample(self, grid):
        """Values at the grid's voxel centres, float32 [z, y, x]; beyond the lattice the end values go on."""
        matrices = [
            spline_matrix(axis, low, step, count)
            for axis, low, step, count in zip(
                (grid.z, grid.y, grid.x), self.low, self.step_mm, self.coefficients.shape, strict=True
            )
        ]
        used = [np.flatnonzero(m.any(axis=0)) for m in matrices]
        values = self.coefficients[np.ix_(*used)]
        z, y, x = (m[:, columns] for m, columns in zip(matrices, used, strict=True))
        values = np.tensordot(z, values, (1, 0))  # [z, b, c]
        values = np.matmul(y, values)  # [z, y, c]
        return np.matmul(values, x.T)


def spline_matrix(positions, low, step, count):
    """Cubic B-spline weights [len(positions), count] of lattice points `low + step * i` at `positions`."""
    at = np.clip((np.asarray(positions, float) - low) / step, 0, count - 1)
    base = np.floor(at).astype(int)
    t = at - base
    weights = ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6)
    matrix = np.zeros((len(at), count), np.float32)
    rows = np.arange(len(at))
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        np.add.at(matrix, (rows, np.clip(base + offset, 0, count - 1)), weight)
    return matrix
