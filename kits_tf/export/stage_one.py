"""Stage 1 in a graph: the loops over batches and chunks around the functions that prediction runs."""

import tensorflow as tf

from kits_tf import geometry
from kits_tf.arrays import tensorflow
from kits_tf.export.regions import extent
from kits_tf.inference import kidney
from kits_tf.inference.engines.tensorflow import resize_inplane, resize_slices

BACK = {
    "axial": (0, 1, 2),
    "coronal": (1, 0, 2),
    "sagittal": (1, 2, 0),
}  # of [index, height, width] to a volume's axes


def stage_one(run, config, hu, spacing_mm, convert, dtype, working):
    """Runs one plane's network over a volume cut to its body; see `inference.kidney.stage_one`.

    Args:
        run: run(batch), the network's probability.
        config: its KidneyConfig.
        hu: float32 [slices, rows, columns].
        spacing_mm: float64 [3].
        convert: makes what is kept of a probability, so that memory does not grow with floats nobody asked for.
        dtype: of what `convert` makes.
        working: a dict that keeps `hu` on working grids, {(slice_mm, inplane_mm): volume}, for the planes that follow.

    Returns:
        `dtype` of the volume's shape.
    """
    if geometry.is_native(config):
        return run_plane(run, config, hu, convert, dtype)
    grid = (config.slice_mm, config.inplane_mm)
    if grid not in working:
        shape = working_shape(hu, spacing_mm, config)
        working[grid] = resized(hu, shape, lambda part: tf.clip_by_value(part, geometry.HU_MIN, geometry.HU_MAX))
    probability = run_plane(run, config, working[grid], tf.identity, tf.float32)
    return resized(probability, tf.unstack(tf.shape(hu)), tf.identity, convert, dtype)


def working_shape(hu, spacing_mm, config):
    """The sizes of the working grid; see `geometry.working_shape`."""
    sizes, wanted = tf.unstack(tf.shape(hu), 3), (config.slice_mm, config.inplane_mm, config.inplane_mm)
    return [
        geometry.working_size(tensorflow(), size, spacing_mm[axis], mm) if mm else size
        for axis, (size, mm) in enumerate(zip(sizes, wanted, strict=True))
    ]


def resized(volume, shape, before, after=tf.identity, dtype=tf.float32):
    """Resizes a volume some slices at a time; see `geometry.resized_chunks`.

    Args:
        volume: float32 [slices, rows, columns].
        shape: the new sizes, three int32 scalars.
        before: of a part before it is resized.
        after: of what came of it, of `dtype`.
    """
    sizes = tf.unstack(tf.shape(volume), 3)
    slices, rows, columns = (geometry.resizing(tensorflow(), old, new) for old, new in zip(sizes, shape, strict=True))

    def chunk_of(start, stop):
        def all_slices_kept():
            return before(volume[start:stop])

        def slices_resized():
            first, last = extent(tf.reduce_any(slices[start:stop] != 0, axis=0))
            return resize_slices(slices[start:stop, first:last], before(volume[first:last]))

        part = tf.cond(tf.equal(sizes[0], shape[0]), all_slices_kept, slices_resized)
        return after(resize_inplane(part, rows, columns))

    empty = tf.zeros([0, shape[1], shape[2]], dtype)
    return in_chunks(chunk_of, tf.constant(0), shape[0], tf.constant(geometry.CHUNK_SLICES), empty)


def run_plane(run, config, volume, convert, dtype):
    """Runs both halves of a plane, one after the other; see `inference.kidney.run_plane`."""
    shape = tf.unstack(tf.shape(volume), 3)
    right, left = geometry.halves(tensorflow(), config.plane, shape, config.overlap)
    first = run_half(run, config, volume, right, False, convert, dtype)
    with tf.control_dependencies([first]):
        second = run_half(run, config, tf.identity(volume), left, config.mirror, convert, dtype)
    return tf.concat([first, second], axis=2)


def run_half(run, config, volume, half, mirrored, convert, dtype):
    """What a half's network says of the columns it keeps: [slices, rows, kept columns]."""
    shape = tf.unstack(tf.shape(volume), 3)
    size = kidney.batch_size(tensorflow(), half, shape, config)
    kept = half.kept[1] - half.kept[0]
    start, stop = half.indices
    # A volume one column wide has no right half: slices without columns, and nothing to run.
    skipped = tf.where(tf.equal(kept, 0), stop - start, 0)
    start = start + skipped

    def batch_of(first, last):
        indices = tf.range(first, last)
        return convert(kidney.run_slabs(tensorflow(), run, config, volume, half, indices, mirrored))

    height = shape[1] if config.plane == "axial" else shape[0]
    found = in_chunks(batch_of, start, stop, size, tf.zeros([skipped, height, kept], dtype))
    return tf.transpose(found, BACK[config.plane])


def in_chunks(function, start, stop, size, empty):
    """Joins function(first, last) over the range start to stop, in steps of `size`, one after the other.

    Args:
        empty: [n, height, width], without voxels; what an empty range gives.
    """
    count = -(-(stop - start) // size)
    parts = tf.TensorArray(empty.dtype, count + 1, infer_shape=False, element_shape=[None, None, None])

    def step(index, parts):
        first = start + index * size
        return index + 1, parts.write(index + 1, function(first, tf.minimum(first + size, stop)))

    initial = (tf.constant(0), parts.write(0, empty))
    _, parts = tf.while_loop(lambda index, _: index < count, step, initial, parallel_iterations=1)
    joined = parts.concat()
    return tf.ensure_shape(joined, [None, None, None])
