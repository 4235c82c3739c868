"""Geometry of both stages: intensity scaling, body box, planes, halves, slabs and resampling between grids.

Arrays have axes (I, P, L): slices from superior to inferior, rows from anterior to posterior, columns from the
patient's right to left. Positions along an axis are in voxels, from the centre of the first. Functions with the
argument `xp` run on NumPy arrays and on TensorFlow tensors (see `arrays`), without a Python branch on a size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from kits_tf.arrays import Array, ArrayModule, NumPy, Size

if TYPE_CHECKING:
    from kits_tf.config import KidneyConfig

Bounds: TypeAlias = tuple[Size, Size]
"""(start, stop) along an axis."""

HU_MIN = -1024.0
HU_MAX = 2125.0
SPACING_MM = (0.01, 100.0)  # plausible range of a voxel's sides
BODY_HU = -300.0  # fat and everything denser
BODY_SHARE = 0.05  # of the slices in which a pixel must be body
BODY_MM = 15.0  # side of the square that must fit into the body; tables, tubes and clothes are thinner
LEAST_WIDTH = 1e-6  # voxels; a mean over less would only add rounding errors
CHUNK_SLICES = 16  # slices that are resized at a time, to bound memory

AXIS = {"axial": 0, "coronal": 1, "sagittal": 2}
SLAB_AXES = {"axial": (0, 2, 3, 1), "coronal": (1, 0, 3, 2), "sagittal": (2, 0, 1, 3)}


def scale(xp: ArrayModule, hu: Array, clip_hu: tuple[float, float] = (HU_MIN, HU_MAX)) -> Array:
    """Return HU clipped to the range (low, high) and scaled linearly to [0, 1], float32; air is 0.

    Example:
        >>> scale(NumPy, [-2000, -200, 100, 600], (-200, 600)).tolist()
        [0.0, 0.0, 0.375, 1.0]
    """
    low, high = clip_hu
    # A product: TensorFlow replaces division by a constant inside a graph, which would change the last bit.
    return (xp.clip(xp.cast(hu, xp.float32), low, high) - low) * (1 / (high - low))


to_float = functools.partial(np.asarray, dtype=np.float32)


def clipped(hu: np.ndarray) -> np.ndarray:
    """Return HU clipped to [HU_MIN, HU_MAX], float32, so that metal does not bleed when a CT is resampled."""
    return np.clip(to_float(hu), HU_MIN, HU_MAX)


class BodyBox(NamedTuple):
    """Bounds of the body in every slice, as (start, stop) of the rows and of the columns."""

    rows: Bounds
    columns: Bounds

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the box in a volume [slices, rows, columns]."""
        return slice(None), slice(*self.rows), slice(*self.columns)


def body_box(hu: np.ndarray, spacing_mm: Sequence[float]) -> BodyBox:
    """Return the box of the patient's body.

    A pixel belongs to the body if it is above -300 HU in at least 5 % of the slices. The box bounds all squares of
    15 mm that fit into the body, so that a table, which is thinner, does not widen it. It is the whole image if none
    fits.

    Args:
        hu: [slices, rows, columns].
        spacing_mm: (slice, row, column).

    Example:
        >>> hu = np.full((4, 60, 80), -1000)
        >>> hu[:, 10:40, 20:70] = 30  # a patient
        >>> hu[:, 50:52] = 200  # on a table
        >>> body_box(hu, (3.0, 2.0, 2.0))
        BodyBox(rows=(10, 40), columns=(20, 70))
    """
    counts = np.zeros(hu.shape[1:], np.int32)
    for image in hu:
        counts += image > BODY_HU
    rows, columns = body_box_of(NumPy, counts, len(hu), spacing_mm, extent)
    return BodyBox((int(rows[0]), int(rows[1])), (int(columns[0]), int(columns[1])))


def body_box_of(
    xp: ArrayModule,
    counts: Array,
    num_slices: Size,
    spacing_mm: Sequence[Array],
    extent: Callable[[Array], Bounds],
) -> BodyBox:
    """Return the body box, given how many slices are above -300 HU in each pixel, int32 [rows, columns].

    `extent` is the function of that name for the arrays of `xp`.
    """
    least = xp.maximum(BODY_SHARE * xp.cast(num_slices, xp.float64), 1.0)
    inside = xp.cast(xp.cast(counts, xp.float64) >= least, xp.int32)
    sums = xp.pad(xp.cumsum(xp.cumsum(inside, 0), 1), ((1, 0), (1, 0)))  # of the pixels above and to the left
    height, width = (_pixels(xp, BODY_MM, spacing_mm[1 + axis], xp.shape(counts)[axis]) for axis in range(2))
    squares = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    fits = xp.cast(squares == height * width, xp.int32)
    (top, bottom), (left, right) = (extent(xp.max(fits, axis=axis) > 0) for axis in (1, 0))
    return BodyBox((top, bottom + height - 1), (left, right + width - 1))


def _pixels(xp: ArrayModule, length_mm: float, spacing_mm: Array, most: Size) -> Size:
    """Return the pixels of a length, from 1 to `most`."""
    pixels = xp.maximum(xp.round(length_mm / spacing_mm), 1.0)
    return xp.cast(xp.minimum(pixels, xp.cast(most, pixels.dtype)), xp.int32)


def only_body(hu: np.ndarray, box: BodyBox) -> np.ndarray:
    """Return a CT with air outside its body box, as in prepared cases; the CT itself if the box is the whole image."""
    if box == whole_box(hu.shape):
        return hu
    body = np.full_like(hu, HU_MIN)
    body[box.slices] = hu[box.slices]
    return body


def whole_box(shape: Sequence[Size]) -> BodyBox:
    """Return the box of a whole image of shape [slices, rows, columns]."""
    return BodyBox((0, shape[1]), (0, shape[2]))


def extent(flags: np.ndarray) -> tuple[int, int]:
    """Return the bounds of the true elements of a vector; of the whole vector if there are none."""
    indices = np.flatnonzero(flags)
    return (int(indices[0]), int(indices[-1]) + 1) if len(indices) else (0, len(flags))


def middle_column(columns: Bounds) -> Size:
    """Return the first column of the left half of the columns (start, stop)."""
    return (columns[0] + columns[1]) // 2


class Half(NamedTuple):
    """One side of the body in a plane; each field is (start, stop).

    Attributes:
        indices: slices along the plane's axis that this half labels.
        columns: columns that the network sees.
        kept: those of them that this half labels.
    """

    indices: Bounds
    columns: Bounds
    kept: Bounds


def halves(xp: ArrayModule, plane: str, shape: Sequence[Size], overlap: int = 0) -> tuple[Half, Half]:
    """Return the right and the left half of a volume that is cropped to the body.

    Args:
        xp: the array module.
        plane: "axial" or "coronal", split by column, or "sagittal", split by index.
        shape: [slices, rows, columns].
        overlap: columns that an axial or coronal half sees beyond the middle.
    """
    size, middle = shape[2], shape[2] // 2
    if plane == "sagittal":
        across = (0, shape[1])
        return Half((0, middle), across, across), Half((middle, size), across, across)
    indices = (0, shape[AXIS[plane]])
    right = Half(indices, (0, xp.minimum(size, middle + overlap)), (0, middle))
    left = Half(indices, (xp.maximum(0, middle - overlap), size), (middle, size))
    return right, left


def slabs(xp: ArrayModule, volume: Array, plane: str, indices: Array) -> Array:
    """Return three adjacent slices around each index (int32) along a plane's axis; end slices are repeated.

    Returns:
        [batch, height, width, 3]: axial (rows, columns), coronal (slices, columns), sagittal (slices, rows).
    """
    axis = AXIS[plane]
    steps = xp.asarray([-1, 0, 1], dtype=xp.int32)
    neighbours = xp.clip(xp.reshape(indices, (-1, 1)) + steps, 0, xp.shape(volume)[axis] - 1)
    return xp.transpose(xp.take(volume, neighbours, axis=axis), SLAB_AXES[plane])


def padding_to_multiple(size: Size, multiple: int) -> Size:
    """Return how much must be added to a size to make it a multiple."""
    return (multiple - size % multiple) % multiple  # -size % multiple would be negative in ONNX


def pad_to_multiple(xp: ArrayModule, batch: Array, multiple: int, axes: Sequence[int]) -> Array:
    """Return an array whose given axes are padded at the end with zeros (air) to a multiple."""
    shape = xp.shape(batch)
    widths = [
        (0, padding_to_multiple(shape[axis], multiple) if axis in axes else 0) for axis in range(len(batch.shape))
    ]
    return xp.pad(batch, widths)


def hat_integral(xp: ArrayModule, t: Array) -> Array:
    """Return the integral from -infinity to t of the hat function max(0, 1 - |t|)."""
    t = xp.clip(t, -1.0, 1.0)
    rising, falling = xp.minimum(t, 0.0) + 1, xp.maximum(t, 0.0)
    return rising**2 / 2 + falling - falling**2 / 2


def resampling(xp: ArrayModule, positions: Array, step: Array, size: Size) -> Array:
    """Return the matrix that reads an axis at equidistant positions.

    It averages linear interpolation over max(0, step - 1) voxels: plain linear interpolation when magnifying, free of
    aliasing when shrinking, and exact for linear functions. It reads zeros beyond the axis. A row has two weights when
    magnifying, a few more when shrinking.

    Args:
        xp: the array module.
        positions: [n] float64, in voxels.
        step: distance between neighbouring positions, in voxels.
        size: voxels along the axis.

    Returns:
        [n, size] float64 weights.
    """
    width = xp.maximum(xp.cast(step, xp.float64) - 1, 0.0)
    offsets = xp.reshape(positions, (-1, 1)) - xp.cast(xp.arange(size), xp.float64)
    hat = xp.maximum(1 - abs(offsets), 0.0)
    difference = hat_integral(xp, offsets + width / 2) - hat_integral(xp, offsets - width / 2)
    return xp.where(width > LEAST_WIDTH, difference / xp.maximum(width, LEAST_WIDTH), hat)


def resizing(xp: ArrayModule, source: Size, target: Size) -> Array:
    """Return the matrix [target, source] float32 that resizes an axis between grids of the same length.

    Positions beyond the centres of the outer voxels read the outer voxel.
    """
    step = xp.cast(source, xp.float64) / xp.cast(target, xp.float64)
    positions = (xp.cast(xp.arange(target), xp.float64) + 0.5) * step - 0.5
    weights = resampling(xp, positions, step, source)
    return xp.cast(weights / xp.sum(weights, axis=1, keepdims=True), xp.float32)


def resize(xp: ArrayModule, volume: Array, slices: Array, rows: Array, columns: Array) -> Array:
    """Return [slices, rows, columns] float32 resized by a matrix of `resampling` or `resizing` for each axis."""
    for matrix in (slices, rows, columns):  # each applied to the first axis, which then becomes the last
        flat = xp.reshape(volume, (xp.shape(matrix)[1], -1))
        volume = xp.transpose(xp.sparse_matmul(matrix, flat))
    return xp.reshape(volume, [xp.shape(matrix)[0] for matrix in (slices, rows, columns)])


def corner_distance_mm(shape: Sequence[int], first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest distance between the positions of a corner voxel by two affines, [4, 4] from voxels to mm.

    Example:
        >>> corner_distance_mm((101, 10, 10), np.diag([3.0, 1, 1, 1]), np.diag([3.5, 1, 1, 1]))
        50.0
    """
    corners = [(*np.multiply(corner, np.subtract(shape, 1)), 1) for corner in np.ndindex(2, 2, 2)]
    return float(np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1).max())


def is_native(config: KidneyConfig) -> bool:
    """Return whether a kidney network works on the CT's own voxels, not on a working grid."""
    return not (config.inplane_mm or config.slice_mm)


def working_size(xp: ArrayModule, size: Size, spacing_mm: Array, working_mm: float) -> Array:
    """Return how many voxels of about `working_mm` cover `size` voxels of `spacing_mm`, at least one."""
    pixels = xp.cast(size, xp.float64) * spacing_mm / working_mm
    return xp.cast(xp.maximum(xp.round(pixels), 1.0), xp.int32)


def working_shape(shape: Sequence[int], spacing_mm: Sequence[float], config: KidneyConfig) -> tuple[int, ...]:
    """Return the shape of a network's working grid for a volume; an axis of 0 mm keeps its voxels."""
    wanted = (config.slice_mm, config.inplane_mm, config.inplane_mm)
    return tuple(
        int(working_size(NumPy, size, spacing, mm)) if mm else size
        for size, spacing, mm in zip(shape, spacing_mm, wanted, strict=True)
    )


def resize_in_chunks(
    matrices: Iterable[np.ndarray], part_of: Callable[[slice], np.ndarray], chunk_slices: int = CHUNK_SLICES
) -> Iterator[tuple[slice, np.ndarray]]:
    """Apply `resize` to a volume, a few new slices at a time, to bound memory.

    Args:
        matrices: of the slices, rows and columns.
        part_of: returns the float32 [n, rows, columns] of a range of old slices.
        chunk_slices: how many new slices at a time.

    Yields:
        (new slices, float32 [n, rows, columns]), in order.
    """
    slices, rows, columns = matrices
    for start in range(0, len(slices), chunk_slices):
        some = slices[start : start + chunk_slices]
        used = np.any(some, axis=0)
        old = slice(*extent(used)) if used.any() else slice(0, 1)  # one slice times 0, where all lie beyond the axis
        yield slice(start, start + len(some)), resize(NumPy, part_of(old), some[:, old], rows, columns)


def resized_chunks(
    volume: np.ndarray,
    shape: Sequence[int],
    convert: Callable[[np.ndarray], np.ndarray] = to_float,
    inside: Sequence[slice] = (slice(None),) * 3,
) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Resize a volume to a grid that covers the same space, a few slices at a time.

    Args:
        volume: [slices, rows, columns] of any numeric type.
        shape: of the new grid.
        convert: makes float32 of a part of the volume before it is resized.
        inside: box of the volume; only new voxels that depend on it are computed.

    Yields:
        (index in the new grid, float32 [n, rows, columns]), in order.
    """
    matrices = [resizing(NumPy, old, new) for old, new in zip(volume.shape, shape, strict=True)]
    first, *inplane = (slice(*extent(m[:, part].any(axis=1))) for m, part in zip(matrices, inside, strict=True))
    slices, rows, columns = (matrix[part] for matrix, part in zip(matrices, (first, *inplane), strict=True))
    in_rows, in_columns = (slice(*extent(matrix.any(axis=0))) for matrix in (rows, columns))
    needed = slices, rows[:, in_rows], columns[:, in_columns]
    for chunk, values in resize_in_chunks(needed, lambda old: convert(volume[old, in_rows, in_columns])):
        yield (slice(first.start + chunk.start, first.start + chunk.stop), *inplane), values


def resized(
    volume: np.ndarray,
    shape: Sequence[int],
    convert: Callable[[np.ndarray], np.ndarray] = to_float,
) -> np.ndarray:
    """Return a volume resized to another grid, float32; arguments as for `resized_chunks`."""
    whole = np.empty(shape, np.float32)
    for index, values in resized_chunks(volume, shape, convert):
        whole[index] = values
    return whole
