"""Which foreground is which kidney, in TensorFlow ops; as `kits_tf.laterality` in NumPy."""

import tensorflow as tf

from kits_tf.arrays import tensorflow
from kits_tf.export import regions
from kits_tf.export.components import find_runs
from kits_tf.laterality import sides_of_components


def kidney_sides(mask, spacing_mm, middle, min_share=0.0):
    """Assigns the foreground to the patient's right and left kidney; see `kits_tf.laterality.kidney_sides`.

    Args:
        mask: bool [slices, rows, columns].
        spacing_mm: float64 [3].
        middle: int32, first column of the left half.
        min_share: float, of the largest component on a side.

    Returns:
        uint8 of the mask's shape: 0 nothing, 1 right, 2 left.
    """
    shape = tf.shape(mask)

    def assign():
        box = regions.bounding_box(mask)
        inside = sides_in_box(regions.crop(mask, box), spacing_mm, middle - box[2][0], min_share)
        return regions.uncrop(inside, box, shape)

    return tf.cond(tf.reduce_any(mask), assign, lambda: tf.zeros(shape, tf.uint8))


def sides_in_box(mask, spacing_mm, middle, min_share):
    """`kidney_sides` of a mask that is not empty; works on the whole of it."""
    columns = tf.shape(mask, tf.int64)[2]
    middle = tf.cast(middle, tf.int64)
    runs = find_runs(mask)
    first = runs.start % columns
    stop = first + runs.length
    count = tf.size(runs.start)

    def per_component(values):
        return tf.math.unsorted_segment_sum(values, runs.component, count)

    found = sides_of_components(
        tensorflow(),
        per_component(runs.length),
        per_component(tf.maximum(stop - tf.maximum(first, middle), 0)),
        per_component((first + stop - 1) * runs.length // 2),
        spacing_mm,
        middle,
        min_share,
    )
    side_of_run = tf.cast(tf.gather(found, runs.component, axis=1), tf.uint8)
    voxel, run = voxels_of(runs)
    is_left = tf.cast(voxel % columns >= middle, tf.int32)
    sides = tf.gather(tf.reshape(side_of_run, [-1]), is_left * count + run)
    size = tf.reduce_prod(tf.shape(mask, tf.int64))
    return tf.reshape(tf.scatter_nd(voxel[:, None], sides, size[None]), tf.shape(mask))


def voxels_of(runs):
    """The voxels of all runs, in order: (flat index int64 [voxels], number of the run int32 [voxels])."""
    total = tf.reduce_sum(runs.length)
    before = tf.cumsum(runs.length, exclusive=True)
    begins = tf.scatter_nd(before[:, None], tf.ones_like(before, tf.int32), total[None])
    run = tf.cumsum(begins) - 1
    return tf.range(total) + tf.gather(runs.start - before, run), run
