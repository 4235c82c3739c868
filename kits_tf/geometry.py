"""Where everything is: scaling, body box, planes, halves, slabs, and the resampling between grids.

Arrays have axes (I, P, L): slices from superior to inferior, rows from anterior to posterior, columns from the
patient's right to the left. A function with the argument `xp` runs on NumPy arrays and on TensorFlow tensors alike
(see `arrays`) and uses no Python branch on a size. Positions along an axis are in voxels from the first one's
centre.
"""

import functools
import typing

import numpy as np

from kits_tf.arrays import NumPy

HU_MIN = -1024.0
HU_MAX = 2125.0
SPACING_MM = (0.01, 100.0)
"""A voxel's side outside these bounds is taken for a damaged header or another unit."""
BODY_HU = -300.0  # fat and everything denser
BODY_SHARE = 0.05  # of the largest projection; thinner rows and columns are table, tubes and noise

AXIS = {"axial": 0, "coronal": 1, "sagittal": 2}
CHUNK_SLICES = 16  # new slices made at a time, to bound memory
SLAB_AXES = {"axial": (0, 2, 3, 1), "coronal": (1, 0, 3, 2), "sagittal": (2, 0, 1, 3)}


def scale(xp, hu, clip_hu=(HU_MIN, HU_MAX)):
    """HU clipped to (low, high) and scaled linearly to [0, 1] float32; air is 0."""
    low, high = clip_hu
    # A product, for TensorFlow rewrites a quotient by a constant as one inside a graph: same bits everywhere.
    return (xp.clip(xp.cast(hu, xp.float32), low, high) - low) * (1 / (high - low))


class BodyBox(typing.NamedTuple):
    """Bounds of the body in a slice, as (start, stop) of rows and of columns."""

    rows: tuple
    columns: tuple


def body_box(hu):
    """The rows and columns that hold the patient, by the projections of voxels above -300 HU.

    Args:
        hu: [slices, rows, columns].

    Returns:
        A BodyBox: the first to the last row (column) with at least 5 % of the largest row's (column's) count; the
        whole image if nothing is above the threshold.
    """
    rows = np.zeros(hu.shape[1], np.int64)
    columns = np.zeros(hu.shape[2], np.int64)
    for image in hu:
        body = image > BODY_HU
        rows += np.count_nonzero(body, axis=1)
        columns += np.count_nonzero(body, axis=0)
    return BodyBox(extent(is_body(NumPy, rows, rows.max())), extent(is_body(NumPy, columns, columns.max())))


def is_body(xp, counts, largest):
    """Which rows (or columns) hold the patient, by their counts of voxels above -300 HU and the largest count."""
    return xp.cast(counts, xp.float64) >= xp.maximum(BODY_SHARE * xp.cast(largest, xp.float64), 1.0)


def whole_box(shape):
    """The BodyBox of a whole image of shape [slices, rows, columns]."""
    return BodyBox((0, shape[1]), (0, shape[2]))


def extent(flags):
    """(start, stop) around the true elements of a vector; the whole vector if there are none."""
    indices = np.flatnonzero(flags)
    return (int(indices[0]), int(indices[-1]) + 1) if len(indices) else (0, len(flags))


def middle_column(columns):
    """The first column of the left half of the columns (start, stop)."""
    return (columns[0] + columns[1]) // 2


class Half(typing.NamedTuple):
    """One side of the body in a plane; each field is (start, stop).

    Attributes:
        indices: the slices along the plane's own axis whose labels this half gives.
        columns: the columns of those slices that the network sees.
        kept: the columns, among all, whose labels this half gives.
    """

    indices: tuple
    columns: tuple
    kept: tuple


def halves(xp, plane, shape, overlap=0):
    """The right and the left Half of a volume cut to its body.

    Args:
        plane: "axial", "coronal" (split by column) or "sagittal" (split by index).
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


def slabs(xp, volume, plane, indices):
    """Three adjacent slices around each index, the end slice repeated at the ends.

    Args:
        volume: [slices, rows, columns].
        indices: [batch] int32, along the plane's own axis.

    Returns:
        [batch, height, width, 3]: axial (rows, columns), coronal (slices, columns), sagittal (slices, rows).
    """
    axis = AXIS[plane]
    steps = xp.asarray([-1, 0, 1], dtype=xp.int32)
    neighbours = xp.clip(xp.reshape(indices, (-1, 1)) + steps, 0, xp.shape(volume)[axis] - 1)
    return xp.transpose(xp.take(volume, neighbours, axis=axis), SLAB_AXES[plane])


def plane_view(volume, plane):
    """A NumPy view of [slices, rows, columns] as [index, height, width] of a plane, for writing slices back."""
    return np.moveaxis(volume, AXIS[plane], 0)


def lacking(size, multiple):
    """What must be added to a size to make it a multiple."""
    return (multiple - size % multiple) % multiple  # not -size % multiple: converted to ONNX, that is negative


def pad_to_multiple(xp, batch, multiple, axes):
    """Pads the ends of the given axes with zeros (air) to a multiple; crop the same axes to undo."""
    shape = xp.shape(batch)
    widths = [(0, lacking(shape[axis], multiple) if axis in axes else 0) for axis in range(len(batch.shape))]
    return xp.pad(batch, widths)


def hat_integral(xp, t):
    """The integral from -infinity to t of the hat function max(0, 1 - |t|)."""
    t = xp.clip(t, -1.0, 1.0)
    rising, falling = xp.minimum(t, 0.0) + 1, xp.maximum(t, 0.0)
    return rising**2 / 2 + falling - falling**2 / 2


def resampling(xp, positions, step, size):
    """The matrix that reads an axis of `size` voxels at positions `step` voxels apart.

    It averages the linear interpolation over max(0, step - 1) voxels: plain linear interpolation when magnifying,
    free of aliasing when shrinking, and exact on linear functions for every step. Beyond the axis it reads zeros.

    Args:
        positions: [n] float64, in voxels.
        step: distance between neighbouring positions, in voxels.
        size: voxels along the axis.

    Returns:
        [n, size] float64 weights.
    """
    width = xp.maximum(xp.cast(step, xp.float64) - 1, 1e-6)
    offsets = xp.reshape(positions, (-1, 1)) - xp.cast(xp.arange(size), xp.float64)
    return (hat_integral(xp, offsets + width / 2) - hat_integral(xp, offsets - width / 2)) / width


def resizing(xp, source, target):
    """The matrix [target, source] float32 that resizes an axis between grids covering the same length.

    Positions beyond the outer voxel centres take the outer voxel's value.
    """
    step = xp.cast(source, xp.float64) / xp.cast(target, xp.float64)
    positions = (xp.cast(xp.arange(target), xp.float64) + 0.5) * step - 0.5
    weights = resampling(xp, positions, step, source)
    return xp.cast(weights / xp.sum(weights, axis=1, keepdims=True), xp.float32)


def working_size(xp, size, spacing_mm, working_mm):
    """How many working pixels of about `working_mm` cover `size` pixels of `spacing_mm`; at least one."""
    pixels = xp.cast(size, xp.float64) * spacing_mm / working_mm
    return xp.cast(xp.maximum(xp.round(pixels), 1.0), xp.int32)


def resize_inplane(xp, volume, rows, columns):
    """Resizes [slices, height, width] float32 by the matrices rows [h, height] and columns [w, width]."""
    return xp.matmul(xp.matmul(rows, volume), xp.transpose(columns))


def resize(xp, volume, slices, rows, columns):
    """Resizes [slices, height, width] float32 by a matrix for each axis; None for `slices` keeps them."""
    if slices is not None:
        volume = along(xp, slices, volume, 0)
    return resize_inplane(xp, volume, rows, columns)


def along(xp, matrix, x, axis):
    """Applies a matrix [n, size] to one axis of x."""
    order = list(range(1, len(x.shape)))
    order.insert(axis, 0)
    return xp.transpose(xp.tensordot(matrix, x, axes=[[1], [axis]]), order)


def is_native(config):
    """Whether a KidneyConfig's network works on the CT's own voxels."""
    return not (config.inplane_mm or config.slice_mm)


def working_shape(shape, spacing_mm, config):
    """The shape of the working grid of a volume [slices, rows, columns].

    Args:
        shape: of the volume, cut to the body where the config says so.
        spacing_mm: (slice, row, column).
        config: its `slice_mm` and `inplane_mm`; an axis whose option is 0 keeps its voxels.
    """
    wanted = (config.slice_mm, config.inplane_mm, config.inplane_mm)
    return tuple(
        int(working_size(NumPy, size, spacing, mm)) if mm else size
        for size, spacing, mm in zip(shape, spacing_mm, wanted, strict=True)
    )


def to_float(volume):
    """The values as they are, in float32."""
    return np.asarray(volume, np.float32)


def clipped(hu):
    """HU clipped to the method's window, float32: metal must not bleed into its surroundings when resized."""
    return np.clip(to_float(hu), HU_MIN, HU_MAX)


def resized_chunks(volume, shape, convert=to_float, resizer=None):
    """Resizes a volume to a shape that covers the same space, some slices at a time.

    Args:
        volume: [slices, rows, columns] of any numeric type.
        shape: the new [slices, rows, columns].
        convert: makes float32 of a part of the volume before it is resized.
        resizer: resizer(part, slices, rows, columns); by default `resize` on NumPy arrays.

    Yields:
        (slice, float32 [n, rows, columns]): the new slices, in order.
    """
    resizer = resizer or functools.partial(resize, NumPy)
    slices, rows, columns = (resizing(NumPy, old, new) for old, new in zip(volume.shape, shape, strict=True))
    for start in range(0, shape[0], CHUNK_SLICES):
        chunk = slice(start, min(start + CHUNK_SLICES, shape[0]))
        if shape[0] == volume.shape[0]:
            yield chunk, resizer(convert(volume[chunk]), None, rows, columns)
        else:
            needed = slice(*extent(slices[chunk].any(axis=0)))
            yield chunk, resizer(convert(volume[needed]), slices[chunk, needed], rows, columns)


def resized(volume, shape, convert=to_float, resizer=None):
    """As `resized_chunks`, but returns the whole: float32 of the new shape."""
    whole = np.empty(shape, np.float32)
    for chunk, values in resized_chunks(volume, shape, convert, resizer):
        whole[chunk] = values
    return whole
