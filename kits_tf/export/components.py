"""Connected components of a mask in TensorFlow ops, by runs: what `scipy.ndimage.label` does in NumPy.

A run is a maximal stretch of foreground along the columns. Runs that touch in the next row or the next slice are
joined by an edge; each run then takes the smallest number among its neighbours, and the number of the run of that
number (pointer jumping), until nothing changes: a handful of rounds. Everything dense is one byte a voxel.
"""

import typing

import tensorflow as tf


class Runs(typing.NamedTuple):
    """The runs of a mask, in the order of its voxels; all int64 [runs].

    Attributes:
        start: flat index of the first voxel.
        length: voxels.
        component: number of the first run of the same component (6-neighbour).
    """

    start: tf.Tensor
    length: tf.Tensor
    component: tf.Tensor


def find_runs(mask):
    """The `Runs` of a mask [slices, rows, columns] bool, whose components touch by their faces."""
    row, plane = tf.shape(mask, tf.int64)[2], tf.reduce_prod(tf.shape(mask, tf.int64)[1:])
    start = true_indices(first_along_columns(mask))
    length = true_indices(first_along_columns(mask[:, :, ::-1])[:, :, ::-1]) - start + 1
    in_next_row = tf.pad(mask[:, :-1] & mask[:, 1:], [[0, 0], [0, 1], [0, 0]])
    in_next_slice = tf.pad(mask[:-1] & mask[1:], [[0, 1], [0, 0], [0, 0]])
    edges = [touching(start, contact, step) for contact, step in ((in_next_row, row), (in_next_slice, plane))]
    joined = tf.concat(edges, axis=1)
    return Runs(start, length, tf.cast(smallest_connected(tf.size(start), joined[0], joined[1]), tf.int64))


def first_along_columns(mask):
    """True where a stretch of True along the last axis begins."""
    return mask & ~tf.pad(mask, [[0, 0], [0, 0], [1, 0]])[:, :, :-1]


def true_indices(mask):
    """The flat indices of a mask's True elements, int64."""
    return tf.where(tf.reshape(mask, [-1]))[:, 0]


def touching(start, contact, step):
    """The pairs of runs [2, pairs] int32 that touch.

    Args:
        start: the runs' first voxels.
        contact: True where a voxel and the one `step` further on are both foreground; each stretch is one pair.
    """
    voxel = true_indices(first_along_columns(contact))
    last = tf.searchsorted(start, tf.concat([voxel, voxel + step], axis=0), side="right") - 1
    return tf.reshape(last, [2, -1])


def smallest_connected(count, a, b):
    """The smallest number in each number's connected component.

    Args:
        count: of the numbers 0 to count - 1.
        a, b: int32 [edges] numbers that are connected.

    Returns:
        int32 [count].
    """

    def one_round(parent, _):
        of_a, of_b = tf.gather(parent, a), tf.gather(parent, b)
        low = tf.minimum(of_a, of_b)
        lower = tf.tensor_scatter_nd_min(
            parent, tf.concat([tf.maximum(of_a, of_b), a, b], axis=0)[:, None], tf.tile(low, [3])
        )
        lower = tf.gather(lower, tf.gather(lower, lower))
        return lower, tf.reduce_any(lower != parent)

    start = tf.range(count)
    parent, _ = tf.while_loop(lambda _, changed: changed, one_round, (start, tf.constant(True)))
    return parent
