"""A random smooth map from a new patient's millimetres to those of the organ map."""

import numpy as np

from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.grid import Grid
from kits_tf.simulation.phantom.shapes import rotation

LATTICE_MM = 8.0
MARGIN_MM = 90.0  # of the lattice beyond the map's box
TURN = 0.08  # standard deviation of the rotation about each axis, radians
SIZE, STRETCH = 0.1, 0.06  # of the logarithm of the scale, and of each axis' own
BENDS_MM = ((90, 9.0), (45, 4.5), (24, 2.2))  # grain of random displacement and its standard deviation
KIDNEY_REACH_MM = 45.0
PUSH, PUSH_REACH = 0.65, 1.5


class Deformation:
    """Where in the map a point of the patient lies; both in mm (z, y, x) from the middle between the kidneys.

    Kept as the coefficients of a cubic B-spline on a lattice, so that it is cheap at millions of voxels.

    Args:
        rng: a NumPy generator.
        organs: an `OrganMap`.

    Attributes:
        bounds: (low, high) mm of the patient's box that the map fills.
        scale: mm of the patient a mm of the map, (z, y, x).
    """

    def __init__(self, rng, organs):
        self.scale = np.exp(rng.normal(0, SIZE) + rng.normal(0, STRETCH, 3))
        turn = rotation(*((axis, rng.normal(0, TURN)) for axis in range(3)))
        self.linear = turn.astype(float) / self.scale
        self.bounds = organs.low_mm * self.scale, organs.high_mm * self.scale
        low, high = self.bounds[0] - MARGIN_MM, self.bounds[1] + MARGIN_MM
        self.lattice = Grid.regular(np.ceil((high - low) / LATTICE_MM).astype(int) + 1, (LATTICE_MM,) * 3, low)
        points = np.stack(np.meshgrid(self.lattice.z, self.lattice.y, self.lattice.x, indexing="ij"))
        self.points = points.astype(np.float32)
        self.values = np.tensordot(self.linear.astype(np.float32), self.points, 1)
        strength = rng.uniform(0.4, 1.4)
        for grain_mm, deviation_mm in BENDS_MM:
            for values in self.values:
                bend = Field.noise(rng, (low, high), grain_mm)
                values += bend.sample(self.lattice) * np.float32(strength * deviation_mm)
        for centre in organs.kidneys_mm.values():
            self.resize(centre, np.exp(rng.normal(0, 0.14)), rng.normal(0, 5, 3))

    def resize(self, centre_mm, factor, shift_mm):
        """Makes what lies around a point of the map larger by a factor and moves it, ebbing away around it."""
        offsets = self.values - np.asarray(centre_mm, np.float32)[:, None, None, None]
        near = np.exp(-(offsets**2).sum(axis=0) / np.float32(2 * KIDNEY_REACH_MM**2))
        offsets *= np.float32(1 / factor - 1)
        offsets += np.asarray(shift_mm, np.float32)[:, None, None, None]
        self.values += near * offsets

    def push(self, centre_mm, radius_mm):
        """Pushes what lies around a point of the patient outward, as a mass of that radius does."""
        offsets = self.points - np.asarray(centre_mm, np.float32)[:, None, None, None]
        near = np.exp(-(offsets**2).sum(axis=0) / np.float32((PUSH_REACH * radius_mm) ** 2))
        offsets *= np.float32(-PUSH) * near
        self.values += np.tensordot(self.linear.astype(np.float32), offsets, 1)

    def voxels(self, grid, organs):
        """Number of the map's nearest voxel for each voxel of a grid, int32 [z, y, x]; the map's ends go on."""
        index = np.zeros(grid.shape, np.int32)
        first = self.points[:, 0, 0, 0]
        axes = zip(self.values, organs.structures.shape, organs.low_mm, organs.spacing_mm, strict=True)
        for values, count, low, step in axes:
            # Half a voxel more, as the cast to whole numbers rounds down.
            at = Field((values - low) / step + 0.5, first, LATTICE_MM).sample(grid)
            np.clip(at, 0, count - 1, out=at)
            index *= count
            index += at.astype(np.int32)
        return index
