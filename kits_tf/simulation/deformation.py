"""A random smooth mapping from a new patient's millimetres to those of an organ map."""

from __future__ import annotations

import numpy as np

from kits_tf.simulation.fields import Bounds, Field, Grid, Vector
from kits_tf.simulation.refinement import OrganMap
from kits_tf.simulation.shapes import rotation

LATTICE_MM = 8.0
MARGIN_MM = 90.0  # of the lattice around the map's box
ROTATION = 0.08  # standard deviation about each axis, radians
SCALE, STRETCH = 0.1, 0.06  # standard deviations of the logarithm: of the overall scale and of each axis
BENDS_MM = ((90, 9.0), (45, 4.5), (24, 2.2))  # grain of the random displacement and its standard deviation
KIDNEY_REACH_MM = 45.0
PUSH, PUSH_REACH = 0.65, 1.5


class Deformation:
    """Map points of the patient to points of the map, both in mm (z, y, x) from the middle between the kidneys.

    Cubic B-spline coefficients on a lattice are cheap to sample; `bounds` is the patient's box that the map fills.
    """

    def __init__(self, rng: np.random.Generator, organs: OrganMap) -> None:
        scale = np.exp(rng.normal(0, SCALE) + rng.normal(0, STRETCH, 3))
        self.linear = rotation(rng.normal(0, ROTATION, 3)).astype(float) / scale
        self.bounds: Bounds = (organs.low_mm * scale, organs.high_mm * scale)
        low, high = self.bounds[0] - MARGIN_MM, self.bounds[1] + MARGIN_MM
        lattice = Grid.regular(np.ceil((high - low) / LATTICE_MM).astype(int) + 1, (LATTICE_MM,) * 3, low)
        self.points = np.stack(np.meshgrid(*lattice.axes, indexing="ij")).astype(np.float32)
        self.values = np.tensordot(self.linear.astype(np.float32), self.points, 1)
        strength = rng.uniform(0.4, 1.4)
        for grain_mm, deviation_mm in BENDS_MM:
            for values in self.values:
                bend = Field.noise(rng, (low, high), grain_mm)
                values += bend.sample(lattice) * np.float32(strength * deviation_mm)
        for centre in organs.kidneys_mm.values():
            self.resize(centre, np.exp(rng.normal(0, 0.14)), rng.normal(0, 5, 3))

    def resize(self, centre_mm: Vector, factor: float, shift_mm: Vector) -> None:
        """Enlarge the surroundings of a point of the map by a factor and shift them, fading with distance."""
        offsets = self.values - np.asarray(centre_mm, np.float32)[:, None, None, None]
        near = np.exp(-(offsets**2).sum(axis=0) / np.float32(2 * KIDNEY_REACH_MM**2))
        offsets *= np.float32(1 / factor - 1)
        offsets += np.asarray(shift_mm, np.float32)[:, None, None, None]
        self.values += near * offsets

    def push(self, centre_mm: Vector, radius_mm: float) -> None:
        """Push the surroundings of a point of the patient outwards, as a mass of that radius does."""
        offsets = self.points - np.asarray(centre_mm, np.float32)[:, None, None, None]
        near = np.exp(-(offsets**2).sum(axis=0) / np.float32((PUSH_REACH * radius_mm) ** 2))
        offsets *= np.float32(-PUSH) * near
        self.values += np.tensordot(self.linear.astype(np.float32), offsets, 1)

    def voxels(self, grid: Grid, organs: OrganMap) -> np.ndarray:
        """Return the flat index of the map's nearest voxel for each voxel of a grid, int32 [z, y, x].

        Outside the map, its border continues.
        """
        index = np.zeros(grid.shape, np.int32)
        first = self.points[:, 0, 0, 0]
        axes = zip(self.values, organs.structures.shape, organs.low_mm, organs.spacing_mm, strict=True)
        for values, count, low, step in axes:
            # Plus half a voxel, because the conversion to integers rounds down.
            at = Field((values - low) / step + 0.5, first, LATTICE_MM).sample(grid)
            np.clip(at, 0, count - 1, out=at)
            index *= count
            index += at.astype(np.int32)
        return index
