"""Geometry of stage 2: the cube around a kidney, its resizing to a fixed grid, its sub-blocks, and back.

A kidney is the crop of a volume to its bounding box, with everything outside the kidney set to air. Air is zero after
scaling, so a cube that reaches beyond the crop, or beyond the volume, needs no other padding. Functions with the
argument `xp` run on NumPy arrays and on TensorFlow tensors (see `arrays`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from kits_tf import geometry
from kits_tf.arrays import Array, ArrayModule, Size
from kits_tf.config import BLOCK_OVERLAP


def cube_side_mm(xp: ArrayModule, shape: Sequence[Size], spacing_mm: Array, margin_mm: float) -> Array:
    """Return the side of the cube in mm: the longest side of the kidney's box plus the margin."""
    lengths = [xp.cast(shape[axis], xp.float64) * spacing_mm[axis] for axis in range(3)]
    return xp.maximum(xp.maximum(lengths[0], lengths[1]), lengths[2]) + margin_mm


def to_cube(xp: ArrayModule, crop: Array, spacing_mm: Array, margin_mm: float, grid: int) -> Array:
    """Resample a kidney's crop to the cube around it.

    Args:
        xp: the array module.
        crop: [slices, rows, columns] float32, zero outside the kidney.
        spacing_mm: [3] float64.
        margin_mm: side of the cube beyond the longest side of the box.
        grid: voxels along each side of the cube.

    Returns:
        [grid, grid, grid] float32, centred on the box.
    """
    return geometry.resize(xp, crop, *into_cube(xp, xp.shape(crop), spacing_mm, margin_mm, grid))


def into_cube(xp: ArrayModule, shape: Sequence[Size], spacing_mm: Array, margin_mm: float, grid: int) -> list[Array]:
    """Return the matrices [grid, size] float32 that `to_cube` applies to the axes of a crop of that shape."""
    side_mm = cube_side_mm(xp, shape, spacing_mm, margin_mm)
    return [_centred(xp, grid, shape[axis], side_mm / spacing_mm[axis] / grid) for axis in range(3)]


def from_cube(xp: ArrayModule, cube: Array, shape: Sequence[Size], spacing_mm: Array, margin_mm: float) -> Array:
    """Resample a cube at the voxels of the kidney's box, which has that shape: the reverse of `to_cube`."""
    return geometry.resize(xp, cube, *out_of_cube(xp, shape, spacing_mm, margin_mm, xp.shape(cube)[0]))


def out_of_cube(
    xp: ArrayModule, shape: Sequence[Size], spacing_mm: Array, margin_mm: float, grid: Size
) -> list[Array]:
    """Return the matrices [size, grid] float32 that `from_cube` applies to the axes of a cube."""
    side_mm = cube_side_mm(xp, shape, spacing_mm, margin_mm)
    steps = [xp.cast(grid, xp.float64) * spacing_mm[axis] / side_mm for axis in range(3)]
    return [_centred(xp, shape[axis], grid, step) for axis, step in enumerate(steps)]


def _centred(xp: ArrayModule, count: Size, size: Size, step: Array) -> Array:
    """Return the matrix [count, size] float32 that reads positions `step` apart, centred on the middle of the axis."""
    indices = xp.cast(xp.arange(count), xp.float64) - (xp.cast(count, xp.float64) - 1) / 2
    positions = indices * step + (xp.cast(size, xp.float64) - 1) / 2
    return xp.cast(geometry.resampling(xp, positions, step, size), xp.float32)


Padding: TypeAlias = Sequence[tuple[Size, Size]]
"""Zeros (before, after) along each axis that pad a crop to the cube in the CT's own voxels."""


def native_padding(
    xp: ArrayModule, shape: Sequence[Size], spacing_mm: Array, margin_mm: float, multiple: int
) -> Padding:
    """Return the padding that makes a crop the cube around it, without resampling.

    Args:
        xp: the array module.
        shape: (slices, rows, columns) of the kidney's box.
        spacing_mm: [3] float64.
        margin_mm: as for `to_cube`.
        multiple: the network's input sizes must be multiples of it. Sub-blocks halve the in-plane axes, which become
            multiples of twice this and long enough for halves that overlap.
    """
    side_mm = cube_side_mm(xp, shape, spacing_mm, margin_mm)
    widths = []
    inplane = (2 * multiple, 2 * BLOCK_OVERLAP)
    for axis, (unit, least) in enumerate(((multiple, 1), inplane, inplane)):
        size = shape[axis]
        padded = xp.maximum(xp.maximum(size, least), xp.cast(xp.ceil(side_mm / spacing_mm[axis]), xp.int32))
        padded += geometry.padding_to_multiple(padded, unit)
        before = (padded - size) // 2
        widths.append((before, padded - size - before))
    return widths


def unpad(xp: ArrayModule, x: Array, padding: Padding) -> Array:
    """Return [slices, rows, columns] without the zeros of a padding."""
    shape = xp.shape(x)
    return x[tuple(slice(before, shape[axis] - after) for axis, (before, after) in enumerate(padding))]


def num_blocks(mode: str) -> int:
    """Return the number of sub-blocks of a cube."""
    return 1 if mode == "none" else 4


def split(xp: ArrayModule, cube: Array, mode: str) -> Array:
    """Split a cube into the sub-blocks that the network sees one at a time.

    Args:
        xp: the array module.
        cube: [slices, rows, columns], rows and columns even unless it stays whole.
        mode: "split": the in-plane quarters. "overlap": the same, reaching 8 voxels beyond the middle. "polyphase":
            the four phases of stride 2, each of which shows the whole kidney. "none": the cube itself.

    Returns:
        [4, slices, rows / 2, columns / 2] (8 larger in both for "overlap"), order (row, column) 00, 01, 10, 11; for
        "none" [1, slices, rows, columns].
    """
    if mode == "none":
        return cube[None]
    shape = xp.shape(cube)
    rows, columns = shape[1] // 2, shape[2] // 2
    if mode == "polyphase":
        return xp.stack([cube[:, row::2, column::2] for row in range(2) for column in range(2)])
    reach = BLOCK_OVERLAP if mode == "overlap" else 0
    row_bounds = ((0, rows + reach), (rows - reach, 2 * rows))
    column_bounds = ((0, columns + reach), (columns - reach, 2 * columns))
    return xp.stack([cube[:, r[0] : r[1], c[0] : c[1]] for r in row_bounds for c in column_bounds])


def join(xp: ArrayModule, blocks: Array, mode: str) -> Array:
    """Join sub-blocks [n, slices, rows, columns] to the cube [slices, rows, columns]: the reverse of `split`.

    Where sub-blocks overlap, each voxel comes from the one whose quarter contains it.
    """
    if mode == "none":
        return blocks[0]
    if mode == "polyphase":
        shape = xp.shape(blocks)
        phases = xp.reshape(blocks, (2, 2, shape[1], shape[2], shape[3]))
        interleaved = xp.transpose(phases, (2, 3, 0, 4, 1))
        return xp.reshape(interleaved, (shape[1], 2 * shape[2], 2 * shape[3]))
    if mode == "overlap":
        first, last = slice(0, -BLOCK_OVERLAP), slice(BLOCK_OVERLAP, None)
        corners = ((first, first), (first, last), (last, first), (last, last))
        blocks = [blocks[i][:, rows, columns] for i, (rows, columns) in enumerate(corners)]
    top = xp.concatenate([blocks[0], blocks[1]], axis=2)
    bottom = xp.concatenate([blocks[2], blocks[3]], axis=2)
    return xp.concatenate([top, bottom], axis=1)
