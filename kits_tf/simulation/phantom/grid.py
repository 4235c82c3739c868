"""The sampling grid of a rendering: where the voxels of a box are, in mm."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Grid:
    """Voxel centres of a box of voxels, in patient mm (inferior, posterior, left) = (z, y, x).

    `z`, `y`, `x` are float32 vectors of evenly spaced coordinates; arrays on the grid are [z, y, x].
    """

    z: np.ndarray
    y: np.ndarray
    x: np.ndarray
    spacing_mm: tuple

    @classmethod
    def regular(cls, shape, spacing_mm, origin_mm, first_slice=0):
        """Grid of `shape` voxels whose voxel (0, 0, 0) of the whole volume lies at `origin_mm`."""
        starts = (first_slice, 0, 0)
        axes = [
            (o + s * np.arange(first, first + n)).astype(np.float32)
            for n, s, o, first in zip(shape, spacing_mm, origin_mm, starts, strict=True)
        ]
        return cls(*axes, spacing_mm=tuple(spacing_mm))

    @property
    def shape(self):
        return (len(self.z), len(self.y), len(self.x))

    def box(self, bounds, margin=1):
        """Slices of the voxels within `bounds` = (low, high) in mm plus `margin` voxels; None when there are none."""
        slices = []
        for axis, spacing, low, high in zip((self.z, self.y, self.x), self.spacing_mm, *bounds, strict=True):
            start = int(np.searchsorted(axis, low - margin * spacing))
            stop = int(np.searchsorted(axis, high + margin * spacing, side="right"))
            if start >= stop:
                return None
            slices.append(slice(start, stop))
        return tuple(slices)

    def crop(self, slices):
        """The grid of a box of its voxels."""
        return Grid(self.z[slices[0]], self.y[slices[1]], self.x[slices[2]], self.spacing_mm)

    def within(self, other):
        """Slices of `other` that are this grid; None where it is no part of it."""
        slices = []
        for own, whole in zip((self.z, self.y, self.x), (other.z, other.y, other.x), strict=True):
            start = int(np.searchsorted(whole, own[0]))
            stop = start + len(own)
            if stop > len(whole) or whole[start] != own[0] or whole[stop - 1] != own[-1]:
                return None
            slices.append(slice(start, stop))
        return tuple(slices)

    def open(self):
        """Coordinates shaped to broadcast: [z, 1, 1], [1, y, 1], [1, 1, x]."""
        return self.z[:, None, None], self.y[None, :, None], self.x[None, None, :]
