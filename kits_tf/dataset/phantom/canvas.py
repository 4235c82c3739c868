"""Paints solids onto a grid of voxels: HU with partial volume, labels and tissues at voxel centres."""

import numpy as np

from kits_tf.dataset.phantom.materials import TISSUE_INDEX


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
        inside = value < 0
        share = coverage(value, self.thickness_ratio)
        if layer.within is not None:
            allowed = np.isin(self.labels[box], layer.within)
            inside &= allowed
            share *= allowed
        self.blend(box, layer, share)
        self.tissues[box][inside] = TISSUE_INDEX[layer.tissue]
        if layer.label is not None:
            self.labels[box][inside] = layer.label

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


def coverage(value, thickness_ratio=1.0):
    """Share of each voxel that lies inside a solid, from its implicit value at voxel centres.

    For a plane, a box-shaped voxel is covered by about 1/2 - d / w, where d is the distance of its centre and w the
    voxel's width across the plane, the sum over axes of |normal| times voxel size. Both carry the same unknown scale
    of `value`, which cancels: no gradient in mm is needed.

    Args:
        value: float32 [z, y, x], negative inside.
        thickness_ratio: slice thickness over slice spacing.

    Returns:
        float32 [z, y, x] in [0, 1].
    """
    width = np.zeros(value.shape, np.float32)
    for axis, weight in enumerate((thickness_ratio, 1.0, 1.0)):
        if value.shape[axis] < 2:
            continue
        step = np.diff(value, axis=axis)
        np.abs(step, out=step)
        if weight != 1:
            step *= np.float32(weight)
        # Mean of the two neighbouring steps; at the box's ends the only one there is.
        index = [slice(None)] * 3
        index[axis] = slice(1, -1)
        head, tail = list(index), list(index)
        head[axis], tail[axis] = slice(None, -1), slice(1, None)
        width[tuple(index)] += (step[tuple(head)] + step[tuple(tail)]) / 2
        for end in (0, -1):
            index[axis] = end
            width[tuple(index)] += step[tuple(index)]
    np.maximum(width, np.float32(1e-6), out=width)
    share = np.divide(value, width, out=width)
    np.subtract(np.float32(0.5), share, out=share)
    return np.clip(share, 0, 1, out=share)
