"""The vertebral column: bodies, discs, canal and processes."""

import numpy as np

from kits_tf.simulation.phantom.frame import BOTTOM_MM, TOP_MM
from kits_tf.simulation.phantom.shapes import Tube

DISC_MM = 9.0
LAST_MM = 130.0  # z of the lower end of the fifth lumbar vertebra; the sacrum goes on


class Vertebrae:
    """Vertebral bodies stacked along the frame's spine, separated by gaps for the discs."""

    def __init__(self, frame, rng):
        self.frame = frame
        self.radii = np.array([rng.uniform(15, 18), rng.uniform(20.5, 25)]) * frame.scale  # y, x
        self.phase = LAST_MM * frame.scale
        self.bounds = (np.array([TOP_MM, -60.0, -60.0]), np.array([LAST_MM * frame.scale, 60.0, 60.0]))

    def offset(self, z):
        """Signed distance in mm of z from the middle of its vertebra."""
        period = self.frame.level_mm
        return np.mod(z - self.phase, period) - period / 2

    def ellipse(self, grid, radii, shift_y=0.0):
        """Distance-like value of an elliptic cylinder that follows the spine."""
        cy, cx = (v.astype(np.float32) for v in self.frame.spine_centre(grid.z))
        y = (grid.y[None, :, None] - cy[:, None, None] - np.float32(shift_y)) / radii[0][:, None, None]
        x = (grid.x[None, None, :] - cx[:, None, None]) / radii[1][:, None, None]
        return (np.sqrt(y * y + x * x) - 1) * np.float32(min(self.radii))

    def sizes(self, z):
        """Half axes (y, x) at z: narrower in a body's middle and higher up the spine."""
        half = (self.frame.level_mm - DISC_MM) / 2
        waist = 0.91 + 0.09 * np.minimum(np.abs(self.offset(z)) / half, 1) ** 2
        taper = np.interp(z, [TOP_MM, -50, LAST_MM], [0.75, 0.95, 1.08])
        return [(r * waist * taper).astype(np.float32) for r in self.radii]

    def value(self, grid):
        half = (self.frame.level_mm - DISC_MM) / 2
        ends = (np.abs(self.offset(grid.z)) - half).astype(np.float32)[:, None, None]
        return np.maximum(self.ellipse(grid, self.sizes(grid.z)), ends)

    def canal(self):
        """The spinal canal with its cord."""
        z = np.arange(TOP_MM, 200.0, 25.0)
        y, x = self.frame.spine_centre(z)
        return Tube(np.column_stack([z, y + self.radii[0] + 8, x]), 8.5, flatten=1.2)


class Discs:
    """A column a little slimmer than the vertebrae, seen between them."""

    def __init__(self, vertebrae):
        self.vertebrae = vertebrae
        self.bounds = vertebrae.bounds

    def value(self, grid):
        count = len(grid.z)
        sizes = [np.full(count, r * 0.98, np.float32) for r in self.vertebrae.radii]
        return self.vertebrae.ellipse(grid, sizes)


def processes(vertebrae):
    """Pedicles, arch, transverse and spinous processes of each vertebra, as tubes."""
    frame = vertebrae.frame
    back = vertebrae.radii[0]
    shapes = []
    middle = vertebrae.phase - frame.level_mm / 2
    while middle > TOP_MM:
        y, x = (float(v) for v in frame.spine_centre(middle))
        y += back
        for side in (-1, 1):
            arch = [(0, -3, 14), (0, 9, 17), (5, 17, 13), (9, 24, 0)]
            shapes.append(Tube([(middle + a, y + b, x + side * c) for a, b, c in arch], [5.5, 5, 4.5, 4]))
            shapes.append(Tube([(middle, y + 8, x + side * c) for c in (18, 40)], [4.2, 3]))
            shapes.append(Tube([(middle + 17, y + 16, x + side * c) for c in (15, 20)], 6.5))  # facet joint
        shapes.append(Tube([(middle + 9, y + 24, x), (middle + 15, y + 46, x)], [4, 3.5], flatten=1.0))
        middle -= frame.level_mm
    return [s for s in shapes if s.bounds[0][0] < BOTTOM_MM]
