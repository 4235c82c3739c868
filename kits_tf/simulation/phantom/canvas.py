"""Paints solids onto a grid of voxels: HU with partial volume, labels and tissues at voxel centres."""

import numpy as np

from kits_tf.laterality import box_within
from kits_tf.simulation.phantom.materials import TISSUE_INDEX


class Canvas:
    """A chunk of slices being painted.

    Args:
        grid: the chunk's `Grid`.
        materials: the patient's `Materials`.
        textures: (coarse, fine) random `Field`s of unit variance.
        thickness_mm: slice thickness, which may exceed the slice spacing.

    Attributes:
        hu: float32 [z, y, x].
        labels, tissues: uint8 [z, y, x]; tissues index `materials.TISSUES`.
    """

    def __init__(self, grid, materials, textures, thickness_mm):
        self.grid = grid
        self.materials = materials
        self.thickness_ratio = thickness_mm / grid.spacing_mm[0]
        # A voxel whose centre is further than half its diagonal from a surface lies on one side of it; values grow
        # unevenly, so a little more is looked at.
        self.band_mm = 0.8 * float(np.linalg.norm([thickness_mm, *grid.spacing_mm[1:]]))
        self.hu = np.full(grid.shape, materials.hu["air"], np.float32)
        self.labels = np.zeros(grid.shape, np.uint8)
        self.tissues = np.zeros(grid.shape, np.uint8)
        self.coarse, self.fine = (field.sample(grid) for field in textures)

    def paint(self, layer):
        """Paints a `Layer` over what is there."""
        box = self.grid.box(layer.shape.bounds, margin=1)
        if box is None:
            return
        value = layer.shape.value(self.grid.crop(box))
        tight = tight_box(value < self.band_mm)
        if tight is None:
            return
        value = value[tight]
        box = box_within(box, tight)
        inside = value < 0
        share = coverage(value, self.band_mm, self.thickness_ratio)
        if layer.within is not None:
            allowed = np.isin(self.labels[box], layer.within)
            inside &= allowed
            share *= allowed
        self.blend(box, layer, share)
        np.copyto(self.tissues[box], TISSUE_INDEX[layer.tissue], where=inside)
        if layer.label is not None:
            np.copyto(self.labels[box], layer.label, where=inside)

    def blend(self, box, layer, share):
        """Mixes the layer's HU into a box by its share of each voxel, 0 to 1."""
        mean = self.materials.hu[layer.tissue] if layer.hu is None else layer.hu
        coarse, fine = layer.texture or self.materials.texture(layer.tissue)
        target = self.coarse[box] * np.float32(coarse)
        target += self.fine[box] * np.float32(fine)
        target += np.float32(mean)
        target -= self.hu[box]
        target *= share
        self.hu[box] += target


def tight_box(mask):
    """Slices of the box around what is true and a voxel more, where there is one; None when nothing is."""
    slices = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
        if not len(used):
            return None
        slices.append(slice(max(used[0] - 1, 0), used[-1] + 2))
    return tuple(slice(s.start, min(s.stop, n)) for s, n in zip(slices, mask.shape, strict=True))


def coverage(value, band_mm, thickness_ratio=1.0):
    """Share of each voxel that lies inside a solid, from its implicit value at voxel centres.

    For a plane, a box-shaped voxel is covered by about 1/2 - d / w, where d is the distance of its centre and w the
    voxel's width across the plane, the sum over axes of |normal| times voxel size. Both carry the same unknown scale
    of `value`, which cancels: no gradient in mm is needed.

    Args:
        value: float32 [z, y, x], negative inside.
        band_mm: values beyond this are wholly outside, below minus this wholly inside.
        thickness_ratio: slice thickness over slice spacing.

    Returns:
        float32 [z, y, x] in [0, 1].
    """
    value = np.ascontiguousarray(value)
    share = (value < 0).astype(np.float32)
    near = np.flatnonzero(np.abs(value) < band_mm)
    flat = value.ravel()
    width = np.zeros(len(near), np.float32)
    index = np.unravel_index(near, value.shape)
    strides = (value.shape[1] * value.shape[2], value.shape[2], 1)
    for axis, weight in enumerate((thickness_ratio, 1.0, 1.0)):
        # Mean slope of the two neighbours; at the box's ends the one there is.
        after = near + strides[axis] * (index[axis] < value.shape[axis] - 1)
        before = near - strides[axis] * (index[axis] > 0)
        span = np.maximum((after - before) // strides[axis], 1)
        width += np.abs(flat[after] - flat[before]) * (np.float32(weight) / span).astype(np.float32)
    np.maximum(width, np.float32(1e-6), out=width)
    share.ravel()[near] = np.clip(0.5 - flat[near] / width, 0, 1)
    return share
