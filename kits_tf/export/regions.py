"""The body box and bounding boxes of masks in TensorFlow ops, and cutting to them; as `geometry` and `sides` in NumPy.

A box is ((start, stop), (start, stop), (start, stop)) of int32 scalars.
"""

import tensorflow as tf

from kits_tf import geometry
from kits_tf.arrays import tensorflow

CHUNK_SLICES = 16  # so that counting takes little memory


def extent(flags):
    """(start, stop) around the true elements of a vector; the whole vector if there are none."""
    indices = tf.cast(tf.where(flags)[:, 0], tf.int32)
    is_there = tf.reduce_any(flags)
    first, last = tf.reduce_min(indices), tf.reduce_max(indices)
    return tf.where(is_there, first, 0), tf.where(is_there, last + 1, tf.size(flags))


def whole_box(shape):
    """The box of a whole volume."""
    return tuple((tf.constant(0), shape[axis]) for axis in range(3))


def body_box(hu):
    """The box that holds the patient, all slices of it; see `geometry.body_box`.

    Args:
        hu: float32 [slices, rows, columns].
    """
    shape = tf.shape(hu)

    def count(start, rows, columns):
        body = tf.cast(hu[start : start + CHUNK_SLICES] > geometry.BODY_HU, tf.int32)
        return start + CHUNK_SLICES, rows + tf.reduce_sum(body, [0, 2]), columns + tf.reduce_sum(body, [0, 1])

    start = (tf.constant(0), tf.zeros(shape[1:2], tf.int32), tf.zeros(shape[2:], tf.int32))
    _, rows, columns = tf.while_loop(lambda start, *_: start < shape[0], count, start, parallel_iterations=1)
    bounds = [extent(geometry.is_body(tensorflow(), counts, tf.reduce_max(counts))) for counts in (rows, columns)]
    return ((tf.constant(0), shape[0]), *bounds)


def bounding_box(mask):
    """The box around the true voxels of a mask; the whole volume if there are none."""
    by_slice_and_column = tf.reduce_any(mask, axis=1)
    rows = tf.reduce_any(tf.reduce_any(mask, axis=2), axis=0)
    slices, columns = (tf.reduce_any(by_slice_and_column, axis=axis) for axis in (1, 0))
    return tuple(extent(flags) for flags in (slices, rows, columns))


def crop(volume, box):
    """The part of a volume inside a box."""
    return volume[tuple(slice(start, stop) for start, stop in box)]


def uncrop(part, box, shape):
    """The part at its place in a volume of the given shape, zero elsewhere."""
    return tf.pad(part, [(start, shape[axis] - stop) for axis, (start, stop) in enumerate(box)])
