"""Stage 1 in a graph: the loops over batches and chunks around the functions that prediction runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import tensorflow as tf

from kits_tf import geometry
from kits_tf.arrays import tensorflow
from kits_tf.config import KidneyConfig
from kits_tf.export.masks import Box, extent
from kits_tf.inference import kidney
from kits_tf.inference.engines.tensorflow import resize_inplane, resize_slices

# Axes of a volume among those of a plane's result, [index, height, width].
_VOLUME_AXES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (1, 2, 0)}

Volumes: TypeAlias = dict[tuple[float, float], tf.Tensor]
Function: TypeAlias = Callable[[tf.Tensor], tf.Tensor]


class Output(NamedTuple):
    """The form in which a network's probability is stored, so that no more memory is used than the output needs.

    Attributes:
        dtype: Type of the stored values.
        convert: Turns a probability into stored values.
        unite: Combines the stored values of two planes, or of two kidneys that are zero elsewhere.
    """

    dtype: tf.DType
    convert: Function
    unite: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


FLOATS = Output(tf.float32, tf.identity, tf.maximum)


def body_box(hu: tf.Tensor) -> Box:
    """Return the box of the patient in a volume, float32 [slices, rows, columns]; see `geometry.body_box`."""
    shape = tf.shape(hu)

    def count(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        body = tf.cast(hu[index] > geometry.BODY_HU, tf.int32)
        return tf.reduce_sum(body, axis=1), tf.reduce_sum(body, axis=0)

    kinds = (tf.int32, tf.int32)
    counts = tf.map_fn(count, tf.range(shape[0]), fn_output_signature=kinds, parallel_iterations=1)
    totals = [tf.reduce_sum(by_slice, axis=0) for by_slice in counts]
    bounds = [extent(geometry.is_body(tensorflow(), total, tf.reduce_max(total))) for total in totals]
    return ((tf.constant(0), shape[0]), *bounds)


def stage_one(
    run: Function, config: KidneyConfig, hu: tf.Tensor, spacing_mm: tf.Tensor, output: Output, working: Volumes
) -> tf.Tensor:
    """Run one plane's network over a volume cut to its body; see `inference.kidney.stage_one`.

    Args:
        run: Returns the network's probability of a batch.
        config: The network's config.
        hu: float32 [slices, rows, columns].
        spacing_mm: float64 [3].
        output: What to return of the probability.
        working: Keeps `hu` on working grids for the planes that follow, by (slice_mm, inplane_mm).

    Returns:
        `output.dtype` of the volume's shape.
    """
    if geometry.is_native(config):
        return _run_plane(run, config, hu, output)
    grid = (config.slice_mm, config.inplane_mm)
    if grid not in working:
        wanted = (config.slice_mm, config.inplane_mm, config.inplane_mm)
        shape = tf.unstack(tf.shape(hu), 3)
        for axis, mm in enumerate(wanted):
            if mm:
                shape[axis] = geometry.working_size(tensorflow(), shape[axis], spacing_mm[axis], mm)
        working[grid] = _resize(hu, shape, FLOATS, lambda hu: tf.clip_by_value(hu, geometry.HU_MIN, geometry.HU_MAX))
    probability = _run_plane(run, config, working[grid], FLOATS)
    return _resize(probability, tf.unstack(tf.shape(hu)), output)


def _resize(volume: tf.Tensor, shape: list[tf.Tensor], output: Output, before: Function = tf.identity) -> tf.Tensor:
    """Resize a float32 volume some slices at a time, after `before`; see `geometry.resized_chunks`."""
    sizes = tf.unstack(tf.shape(volume), 3)
    slices, rows, columns = (geometry.resizing(tensorflow(), old, new) for old, new in zip(sizes, shape, strict=True))

    def chunk_of(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        def slices_resized() -> tf.Tensor:
            first, last = extent(tf.reduce_any(slices[start:stop] != 0, axis=0))
            return resize_slices(slices[start:stop, first:last], before(volume[first:last]))

        part = tf.cond(tf.equal(sizes[0], shape[0]), lambda: before(volume[start:stop]), slices_resized)
        return output.convert(resize_inplane(part, rows, columns))

    empty = tf.zeros([0, shape[1], shape[2]], output.dtype)
    return _in_chunks(chunk_of, tf.constant(0), shape[0], tf.constant(geometry.CHUNK_SLICES), empty)


def _run_plane(run: Function, config: KidneyConfig, volume: tf.Tensor, output: Output) -> tf.Tensor:
    """Run both halves of a plane, one after the other; see `inference.kidney.run_plane`."""
    shape = tf.unstack(tf.shape(volume), 3)
    right, left = geometry.halves(tensorflow(), config.plane, shape, config.overlap)
    first = _run_half(run, config, volume, right, False, output)
    with tf.control_dependencies([first]):
        second = _run_half(run, config, tf.identity(volume), left, config.mirror, output)
    return tf.concat([first, second], axis=2)


def _run_half(
    run: Function, config: KidneyConfig, volume: tf.Tensor, half: geometry.Half, mirrored: bool, output: Output
) -> tf.Tensor:
    """Return the result of a half's network in the columns it keeps, [slices, rows, kept columns]."""
    shape = tf.unstack(tf.shape(volume), 3)
    size = kidney.batch_size(tensorflow(), half, shape, config)
    kept = half.kept[1] - half.kept[0]
    start, stop = half.indices
    # A volume one column wide has no right half: slices without columns, and nothing to run.
    skipped = tf.where(tf.equal(kept, 0), stop - start, 0)

    def batch_of(first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        indices = tf.range(first, last)
        found = run(kidney.slab_batch(tensorflow(), config, volume, half, indices, mirrored))
        return output.convert(kidney.kept_part(tensorflow(), config, volume, half, found, mirrored))

    height = shape[1] if config.plane == "axial" else shape[0]
    found = _in_chunks(batch_of, start + skipped, stop, size, tf.zeros([skipped, height, kept], output.dtype))
    return tf.transpose(found, _VOLUME_AXES[config.plane])


def _in_chunks(
    function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    start: tf.Tensor,
    stop: tf.Tensor,
    size: tf.Tensor,
    empty: tf.Tensor,
) -> tf.Tensor:
    """Join function(first, last), [last - first, height, width], over a range in steps of `size`, one after another.

    An empty range results in `empty`, which has no voxels.
    """
    count = -(-(stop - start) // size)
    parts = tf.TensorArray(empty.dtype, count + 1, infer_shape=False, element_shape=[None, None, None])

    def step(index: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        first = start + index * size
        return index + 1, parts.write(index + 1, function(first, tf.minimum(first + size, stop)))

    initial = (tf.constant(0), parts.write(0, empty))
    _, parts = tf.while_loop(lambda index, _: index < count, step, initial, parallel_iterations=1)
    return tf.ensure_shape(parts.concat(), [None, None, None])
