"""Stage 2's geometry: the cube around a kidney, its resizing to a fixed grid, its four sub-blocks, and the ways back.

A kidney is given as the crop of the volume to its bounding box, everything outside the kidney set to air. Air is zero
after scaling, so a cube that reaches beyond the crop, or beyond the volume, needs no other padding. Functions with the
argument `xp` run on NumPy arrays and TensorFlow tensors alike (see `arrays`).
"""

import typing

from kits_tf import geometry

BLOCK_OVERLAP = 8  # voxels that an "overlap" sub-block sees beyond the middle on each in-plane axis


def cube_side_mm(xp, shape, spacing_mm, margin_mm):
    """Side of the cube: the longest side of the kidney's box plus the margin, in mm."""
    lengths = [xp.cast(shape[axis], xp.float64) * spacing_mm[axis] for axis in range(3)]
    return xp.maximum(xp.maximum(lengths[0], lengths[1]), lengths[2]) + margin_mm


def to_cube(xp, crop, spacing_mm, margin_mm, grid):
    """Resizes a kidney's crop to the cube around it.

    Args:
        crop: [slices, rows, columns] float32, zero outside the kidney.
        spacing_mm: [3] float64.
        margin_mm: what the cube's side exceeds the longest side of the box by.
        grid: voxels along each side of the cube.

    Returns:
        [grid, grid, grid] float32; the box's centre lies at the cube's centre.
    """
    for axis, matrix in enumerate(into_cube(xp, xp.shape(crop), spacing_mm, margin_mm, grid)):
        crop = geometry.along(xp, matrix, crop, axis)
    return crop


def into_cube(xp, shape, spacing_mm, margin_mm, grid):
    """What `to_cube` applies to a crop of that shape: of each axis the matrix [grid, size], float32."""
    side_mm = cube_side_mm(xp, shape, spacing_mm, margin_mm)
    matrices = []
    for axis in range(3):
        step = side_mm / spacing_mm[axis] / grid
        positions = _centred(xp, grid) * step + (xp.cast(shape[axis], xp.float64) - 1) / 2
        matrices.append(xp.cast(geometry.resampling(xp, positions, step, shape[axis]), xp.float32))
    return matrices


def from_cube(xp, cube, shape, spacing_mm, margin_mm):
    """Reads the cube at the voxels of the kidney's box: the way back of `to_cube`.

    Args:
        cube: [grid, grid, grid] float32.
        shape: (slices, rows, columns) of the box.

    Returns:
        [slices, rows, columns] float32.
    """
    for axis, matrix in enumerate(out_of_cube(xp, shape, spacing_mm, margin_mm, xp.shape(cube)[0])):
        cube = geometry.along(xp, matrix, cube, axis)
    return cube


def out_of_cube(xp, shape, spacing_mm, margin_mm, grid):
    """What `from_cube` applies to a cube: of each axis the matrix [size, grid], float32."""
    side_mm = cube_side_mm(xp, shape, spacing_mm, margin_mm)
    matrices = []
    for axis in range(3):
        step = xp.cast(grid, xp.float64) * spacing_mm[axis] / side_mm
        positions = _centred(xp, shape[axis]) * step + (xp.cast(grid, xp.float64) - 1) / 2
        matrices.append(xp.cast(geometry.resampling(xp, positions, step, grid), xp.float32))
    return matrices


def _centred(xp, size):
    """Indices 0 to size - 1 as float64, shifted so that their middle is zero."""
    return xp.cast(xp.arange(size), xp.float64) - (xp.cast(size, xp.float64) - 1) / 2


class Padding(typing.NamedTuple):
    """Zeros before and after each axis of a crop that make it the native cube: ((before, after), ...)."""

    slices: tuple
    rows: tuple
    columns: tuple


def native_padding(xp, shape, spacing_mm, margin_mm, multiple):
    """The Padding that makes a crop the cube around it without resizing.

    Args:
        shape: (slices, rows, columns) of the kidney's box.
        multiple: what the network's input sizes must be divisible by; in-plane axes are halved by the sub-blocks, so
            they become multiples of twice that, and long enough for halves that overlap.
    """
    side_mm = cube_side_mm(xp, shape, spacing_mm, margin_mm)
    widths = []
    inplane = (2 * multiple, 2 * BLOCK_OVERLAP)
    for axis, (unit, least) in enumerate(((multiple, 1), inplane, inplane)):
        size = shape[axis]
        padded = xp.maximum(xp.maximum(size, least), xp.cast(xp.ceil(side_mm / spacing_mm[axis]), xp.int32))
        padded += geometry.lacking(padded, unit)
        before = (padded - size) // 2
        widths.append((before, padded - size - before))
    return Padding(*widths)


def unpad(xp, x, padding):
    """Undoes a Padding: [slices, rows, columns] without its zeros."""
    shape = xp.shape(x)
    return x[tuple(slice(before, shape[axis] - after) for axis, (before, after) in enumerate(padding))]


def split(xp, cube, mode):
    """The four sub-blocks of a cube, for memory.

    Args:
        cube: [slices, rows, columns], rows and columns even.
        mode: "split": contiguous quarters, 2x2 in the in-plane axes. "overlap": the same, each reaching 8 voxels
            beyond the middle. "polyphase": the four stride-2 phases, each seeing the whole kidney.

    Returns:
        [4, slices, rows / 2, columns / 2] (8 larger in both for "overlap"), order (row, column) 00, 01, 10, 11.
    """
    shape = xp.shape(cube)
    rows, columns = shape[1] // 2, shape[2] // 2
    if mode == "polyphase":
        return xp.stack([cube[:, row::2, column::2] for row in range(2) for column in range(2)])
    reach = BLOCK_OVERLAP if mode == "overlap" else 0
    row_bounds = ((0, rows + reach), (rows - reach, 2 * rows))
    column_bounds = ((0, columns + reach), (columns - reach, 2 * columns))
    return xp.stack([cube[:, r[0] : r[1], c[0] : c[1]] for r in row_bounds for c in column_bounds])


def join(xp, blocks, mode):
    """Puts the four sub-blocks back: the exact inverse of `split`.

    Args:
        blocks: [4, slices, rows, columns].
        mode: as given to `split`; overlapping parts are taken from the block whose quarter they lie in.

    Returns:
        [slices, rows, columns] of the cube.
    """
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
