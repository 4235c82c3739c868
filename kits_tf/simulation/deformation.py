"""A random smooth mapping from a new patient's millimetres to those of an organ map."""

from __future__ import annotations

import numpy as np

from kits_tf.simulation.fields import Bounds, Field, Grid, Vector
from kits_tf.simulation.refinement import OrganMap
from kits_tf.simulation.shapes import rotation

LATTICE_MM = 8.0
MARGIN_MM = 90.0  # of the lattice around the map's box
ROTATION = 0.12  # standard deviation about each axis, radians
SCALE, STRETCH = 0.16, 0.08  # standard deviations of the logarithm: of the overall scale and of each axis
SIZES = 0.72, 1.35  # limits of the scale along each axis
BENDS_MM = ((90, 13.0), (45, 6.0), (24, 2.5))  # grain of the random displacement and its standard deviation
KIDNEY_REACH_MM = 50.0
KIDNEY_SHIFT_MM, KIDNEY_SHIFT_LIMIT_MM = (18.0, 8.0, 8.0), (38.0, 18.0, 18.0)  # (z, y, x): deviation, limit
KIDNEY_TURN = (0.3, 0.2, 0.2)  # standard deviations about (z, y, x), radians; malrotation is about z
KIDNEY_SIZE, KIDNEY_SIZE_LIMITS = 0.2, (0.55, 1.7)  # standard deviation of the logarithm, and limits of the factor
ATROPHIC, ATROPHIC_SIZES = 0.04, (0.45, 0.7)  # share of atrophic kidneys, and range of their size factors
KIDNEY_HALF_MM = 70.0  # a kidney's middle stays this far below the map's first slice
PUSH, PUSH_REACH = 0.65, 1.5


class Deformation:
    """Map points of the patient to points of the map, both in mm (z, y, x) from the middle between the kidneys.

    It is a cubic B-spline over a lattice, which is cheap to sample; `bounds` is the patient's box that the map fills.
    """

    def __init__(self, rng: np.random.Generator, organs: OrganMap) -> None:
        scale = np.exp(rng.normal(0, SCALE) + rng.normal(0, STRETCH, 3)).clip(*SIZES)
        self.linear = rotation(rng.normal(0, ROTATION, 3)).astype(float) / scale
        self.bounds: Bounds = (organs.low_mm * scale, organs.high_mm * scale)
        low, high = self.bounds[0] - MARGIN_MM, self.bounds[1] + MARGIN_MM
        lattice = Grid.regular(np.ceil((high - low) / LATTICE_MM).astype(int) + 1, (LATTICE_MM,) * 3, low)
        self.points = np.stack(np.meshgrid(*lattice.axes, indexing="ij")).astype(np.float32)
        self.values = np.tensordot(self.linear.astype(np.float32), self.points, 1)
        strength = rng.uniform(0.2, 1.1)
        for grain_mm, deviation_mm in BENDS_MM:
            for values in self.values:
                bend = Field.noise(rng, (low, high), grain_mm)
                values += bend.sample(lattice) * np.float32(strength * deviation_mm)
        for centre in organs.kidneys_mm.values():
            factor = np.clip(np.exp(rng.normal(0, KIDNEY_SIZE)), *KIDNEY_SIZE_LIMITS)
            if rng.uniform() < ATROPHIC:
                factor = rng.uniform(*ATROPHIC_SIZES)
            shift = np.clip(rng.normal(0, KIDNEY_SHIFT_MM), np.negative(KIDNEY_SHIFT_LIMIT_MM), KIDNEY_SHIFT_LIMIT_MM)
            shift[0] = max(shift[0], min(organs.low_mm[0] + KIDNEY_HALF_MM - centre[0], 0))
            self.move(centre, factor, shift, rotation(rng.normal(0, KIDNEY_TURN)))

    def move(self, centre_mm: Vector, factor: float, shift_mm: Vector, turn: np.ndarray) -> None:
        """Enlarge, turn and shift the surroundings of a point of the map, fading with distance.

        Args:
            centre_mm: The point, (z, y, x).
            factor: Size in units of the present one.
            shift_mm: (z, y, x).
            turn: Rotation, float32 [3, 3].
        """
        offsets = self.values - np.add(centre_mm, shift_mm).astype(np.float32)[:, None, None, None]
        near = np.exp(-(offsets**2).sum(axis=0) / np.float32(2 * KIDNEY_REACH_MM**2))
        change = np.tensordot(turn.T / np.float32(factor) - np.eye(3, dtype=np.float32), offsets, 1)
        change -= np.asarray(shift_mm, np.float32)[:, None, None, None]
        self.values += near * change

    def push(self, centre_mm: Vector, radius_mm: float) -> None:
        """Push the surroundings of a point of the patient outwards, as a growing mass of that radius does."""
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
            # Half a voxel is added because the conversion to integers rounds down.
            at = Field((values - low) / step + 0.5, first, LATTICE_MM).sample(grid)
            np.clip(at, 0, count - 1, out=at)
            index *= count
            index += at.astype(np.int32)
        return index
