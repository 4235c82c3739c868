"""Boxes and connected components of masks in TensorFlow, which has no operation that labels components.

A run is a maximal stretch of foreground along the columns. Runs that touch in the next row or slice are joined by an
edge. Each run then adopts the smallest number among its neighbours, and the number of the run of that number (pointer
jumping), until nothing changes, which takes a handful of rounds. Dense arrays have one byte per voxel.

A box is ((start, stop), (start, stop), (start, stop)) of int32 scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from kits_tf.arrays import tensorflow
from kits_tf.laterality import MIN_COMPONENT_ML, sides_of_components

Box: TypeAlias = tuple[tuple[Any, Any], ...]


def extent(flags: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return (start, stop) around the true elements of a vector; the whole vector if there are none."""
    indices = tf.cast(tf.where(flags)[:, 0], tf.int32)
    is_any = tf.reduce_any(flags)
    first, last = tf.reduce_min(indices), tf.reduce_max(indices)
    return tf.where(is_any, first, 0), tf.where(is_any, last + 1, tf.size(flags))


def bounding_box(mask: tf.Tensor) -> Box:
    """Return the box around the true voxels of a mask; the whole volume if there are none."""
    by_slice_and_column = tf.reduce_any(mask, axis=1)
    rows = tf.reduce_any(tf.reduce_any(mask, axis=2), axis=0)
    slices, columns = (tf.reduce_any(by_slice_and_column, axis=axis) for axis in (1, 0))
    return tuple(extent(flags) for flags in (slices, rows, columns))


def crop(volume: tf.Tensor, box: Box) -> tf.Tensor:
    """Return the part of a volume inside a box."""
    return volume[tuple(slice(start, stop) for start, stop in box)]


def uncrop(part: tf.Tensor, box: Box, shape: tf.Tensor, fill: float = 0) -> tf.Tensor:
    """Return a volume of the given shape with a part at the start of its box, and `fill` around it."""
    sizes = tf.shape(part)
    widths = [(box[axis][0], shape[axis] - box[axis][0] - sizes[axis]) for axis in range(3)]
    return tf.pad(part, widths, constant_values=fill)


def enlarged(box: Box, reach: Sequence[tf.Tensor], shape: tf.Tensor) -> Box:
    """Return a box enlarged by `reach` voxels at both ends of each axis, but not beyond the volume."""
    return tuple(
        (tf.maximum(start - voxels, 0), tf.minimum(stop + voxels, shape[axis]))
        for axis, ((start, stop), voxels) in enumerate(zip(box, reach, strict=True))
    )


def dilated(mask: tf.Tensor, reach: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return a mask dilated by `reach` voxels along each axis."""
    for axis, voxels in enumerate(reach):
        widths = [(voxels + 1, voxels) if axis == other else (0, 0) for other in range(3)]
        total = tf.cumsum(tf.pad(tf.cast(mask, tf.int16), widths), axis)  # may wrap around
        index = tf.range(tf.shape(mask)[axis])
        mask = tf.gather(total, index + 2 * voxels + 1, axis=axis) != tf.gather(total, index, axis=axis)
    return mask


def kidney_sides(
    mask: tf.Tensor,
    spacing_mm: tf.Tensor,
    middle: tf.Tensor,
    min_ml: float = MIN_COMPONENT_ML,
    min_agreement: float = 0.0,
    agreed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Label the foreground as right (1) or left (2) kidney; see `kits_tf.laterality.kidney_sides`."""
    shape = tf.shape(mask)

    def of_box() -> tf.Tensor:
        box = bounding_box(mask)
        part = crop(mask, box)
        sure = part if agreed is None else part & crop(agreed, box)
        rule = spacing_mm, middle - box[2][0], min_ml, min_agreement
        return uncrop(_sides_of_runs(part, sure, *rule), box, shape)

    return tf.cond(tf.reduce_any(mask), of_box, lambda: tf.zeros(shape, tf.uint8))


def _sides_of_runs(
    mask: tf.Tensor, agreed: tf.Tensor, spacing_mm: tf.Tensor, middle: tf.Tensor, min_ml: float, min_agreement: float
) -> tf.Tensor:
    """Return `kidney_sides` of a mask that is not empty; `agreed` is a part of it."""
    size, middle = tf.shape(mask, tf.int64), tf.cast(middle, tf.int64)
    start, length, component = find_runs(mask)
    count = tf.size(start)
    first = start % size[2]
    stop = first + length

    def per_component(values: tf.Tensor) -> tf.Tensor:
        return tf.math.unsorted_segment_sum(values, component, count)

    left = per_component(tf.maximum(stop - tf.maximum(first, middle), 0))
    columns = per_component((first + stop - 1) * length // 2)
    start_of_sure, length_of_sure = _starts_and_lengths(agreed)
    run_of_sure = tf.searchsorted(start, start_of_sure, side="right") - 1
    sure = per_component(tf.math.unsorted_segment_sum(length_of_sure, run_of_sure, count))
    rule = spacing_mm, middle, min_ml, min_agreement
    sides = sides_of_components(tensorflow(), per_component(length), left, columns, sure, *rule)
    side_of_run = tf.cast(tf.gather(sides, component, axis=1), tf.uint8)
    total, before = tf.reduce_sum(length), tf.cumsum(length, exclusive=True)
    run = tf.cumsum(tf.scatter_nd(before[:, None], tf.ones_like(before, tf.int32), total[None])) - 1  # of each voxel
    voxel = tf.range(total) + tf.gather(start - before, run)
    is_left = tf.cast(voxel % size[2] >= middle, tf.int32)
    values = tf.gather(tf.reshape(side_of_run, [-1]), is_left * count + run)
    return tf.reshape(tf.scatter_nd(voxel[:, None], values, tf.reduce_prod(size)[None]), size)


def find_runs(mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the runs of a mask, bool [slices, rows, columns], in the order of its voxels.

    Returns:
        Flat index of the first voxel, number of voxels, and number of the first run of the same component
        (6-neighbour), each int64 [runs].
    """
    size = tf.shape(mask, tf.int64)
    start, length = _starts_and_lengths(mask)
    next_row = tf.pad(mask[:, :-1] & mask[:, 1:], [[0, 0], [0, 1], [0, 0]])
    next_slice = tf.pad(mask[:-1] & mask[1:], [[0, 1], [0, 0], [0, 0]])
    edges = [_touching(start, next_row, size[2]), _touching(start, next_slice, size[1] * size[2])]
    a, b = tf.unstack(tf.concat(edges, axis=1))
    return start, length, tf.cast(_smallest_connected(tf.size(start), a, b), tf.int64)


def _starts_and_lengths(mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the flat index of the first voxel and the number of voxels of each run."""
    start = _true_indices(_run_starts(mask))
    return start, _true_indices(_run_starts(mask[:, :, ::-1])[:, :, ::-1]) - start + 1


def _run_starts(mask: tf.Tensor) -> tf.Tensor:
    """Return the voxels at which a run of true voxels along the columns begins."""
    return mask & ~tf.pad(mask, [[0, 0], [0, 0], [1, 0]])[:, :, :-1]


def _true_indices(mask: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.reshape(mask, [-1]))[:, 0]


def _touching(start: tf.Tensor, contact: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Return the pairs of runs that touch, int32 [2, pairs].

    Each stretch of `contact`, where a voxel and the one `step` after it are both foreground, is one pair.
    """
    voxel = _true_indices(_run_starts(contact))
    runs = tf.searchsorted(start, tf.concat([voxel, voxel + step], axis=0), side="right") - 1
    return tf.reshape(runs, [2, -1])


def _smallest_connected(count: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Return the smallest number connected to each of 0 to count - 1, by edges between the numbers `a` and `b`."""

    def one_round(parent: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        of_a, of_b = tf.gather(parent, a), tf.gather(parent, b)
        index = tf.concat([tf.maximum(of_a, of_b), a, b], axis=0)
        lower = tf.tensor_scatter_nd_min(parent, index[:, None], tf.tile(tf.minimum(of_a, of_b), [3]))
        lower = tf.gather(lower, tf.gather(lower, lower))
        return lower, tf.reduce_any(lower != parent)

    parent, _ = tf.while_loop(lambda _, changed: changed, one_round, (tf.range(count), tf.constant(True)))
    return parent
