"""Paint solids onto a grid of voxels: HU with partial volume, labels at voxel centres."""

from __future__ import annotations

import dataclasses

import numpy as np

from kits_tf.boxes import bounding_box, box_within, enlarged
from kits_tf.simulation.appearance import texture
from kits_tf.simulation.fields import Field, Grid
from kits_tf.simulation.shapes import Shape


@dataclasses.dataclass
class Layer:
    """A solid of one tissue."""

    shape: Shape
    tissue: str  # whose texture `appearance.texture` knows
    hu: float
    label: int | None = None  # None leaves the label
    only_background: bool = False  # whether to paint only where the label is 0


class Canvas:
    """Slices that are being painted; `textures` are (coarse, fine) random fields of unit variance."""

    def __init__(self, grid: Grid, textures: tuple[Field, Field], thickness_mm: float, background_hu: float) -> None:
        self.grid = grid
        self.thickness_ratio = thickness_mm / grid.spacing_mm[0]
        # A voxel whose centre is farther than half its diagonal from a surface lies on one side of it; the margin is
        # wider because implicit values do not grow evenly.
        self.band_mm = 0.8 * float(np.linalg.norm([thickness_mm, *grid.spacing_mm[1:]]))
        self.hu = np.full(grid.shape, background_hu, np.float32)
        self.labels = np.zeros(grid.shape, np.uint8)
        self.coarse, self.fine = (field.sample(grid) for field in textures)

    def paint(self, layer: Layer) -> None:
        """Paint a layer over the existing ones."""
        box = self.grid.box(layer.shape.bounds, margin=1)
        if box is None:
            return
        value = layer.shape.value(self.grid.crop(box))
        tight = bounding_box(value < self.band_mm)
        if tight is None:
            return
        # One voxel more on each side, for the slopes that `coverage` takes.
        tight = enlarged(tight, (1, 1, 1), value.shape)
        value = value[tight]
        box = box_within(box, tight)
        inside = value < 0
        share = coverage(value, self.band_mm, self.thickness_ratio)
        if layer.only_background:
            allowed = self.labels[box] == 0
            inside &= allowed
            share *= allowed
        coarse, fine = texture(layer.tissue)
        target = self.coarse[box] * np.float32(coarse)
        target += self.fine[box] * np.float32(fine)
        target += np.float32(layer.hu)
        target -= self.hu[box]
        target *= share
        self.hu[box] += target
        if layer.label is not None:
            np.copyto(self.labels[box], np.uint8(layer.label), where=inside)


def coverage(value: np.ndarray, band_mm: float, thickness_ratio: float = 1.0) -> np.ndarray:
    """Return the share of each voxel that lies inside a solid, from implicit values at voxel centres.

    A plane covers about 1/2 - d / w of a box-shaped voxel, where d is the distance of its centre and w the voxel's
    width across the plane, the sum over axes of |normal| times voxel size. Both carry the same unknown scale of
    `value`, which cancels: no gradient in mm is needed.

    Args:
        value: Float32 [z, y, x], negative inside.
        band_mm: Beyond this value a voxel is wholly outside, below its negative wholly inside.
        thickness_ratio: Slice thickness over slice spacing.
    """
    width = np.zeros_like(value)
    for axis, weight in enumerate((thickness_ratio, 1.0, 1.0)):
        if value.shape[axis] > 1:
            width += np.abs(np.gradient(value, axis=axis)) * np.float32(weight)
    share = np.clip(0.5 - value / np.maximum(width, np.float32(1e-6)), 0, 1)
    return np.where(np.abs(value) < band_mm, share, value < 0).astype(np.float32)
