"""Reads prepared cases in TensorFlow ops alone, a window of slices at a time; see `prepared` for the format."""

import tensorflow as tf

from kits_tf.data import prepared


def read_header(path):
    """Reads a record's header in TensorFlow ops; may be traced.

    Args:
        path: scalar string tensor, a local path or one that TensorFlow's file systems know.

    Returns:
        dict of tensors: shape and full_shape int32 [3]; box int32 [4]; spacing_mm float64 [3];
        foreground int32 [n, 3].
    """
    features = {
        "shape": tf.io.FixedLenFeature([3], tf.int64),
        "full_shape": tf.io.FixedLenFeature([3], tf.int64),
        "box": tf.io.FixedLenFeature([4], tf.int64),
        "spacing_mm": tf.io.FixedLenFeature([], tf.string),
        "foreground": tf.io.FixedLenFeature([], tf.string),
    }
    header = tf.io.parse_single_example(tf.data.TFRecordDataset(path).take(1).get_single_element(), features)
    integers = {name: tf.cast(header[name], tf.int32) for name in ("shape", "full_shape", "box")}
    return integers | {
        "spacing_mm": tf.ensure_shape(tf.io.decode_raw(header["spacing_mm"], tf.float64), [3]),
        "foreground": tf.reshape(tf.io.decode_raw(header["foreground"], tf.int32), [-1, 3]),
    }


def read_box(path):
    """The BodyBox of a record, from its header alone."""
    return prepared.box_of(read_header(str(path))["box"].numpy().tolist())


def read_slices(path, shape, start, stop):
    """Reads the blocks that hold some slices, in TensorFlow ops; may be traced.

    Args:
        path: scalar string tensor.
        shape: the header's, int32 [3].
        start: the first slice, int32.
        stop: the slice after the last, int32; above `start` and at most the number of slices.

    Returns:
        (image, label, first): int16 and uint8 [n, rows, columns]; slice i of the case is at i - first. There may be
        slices on either side that were not asked for, and air beyond the case's last.
    """
    first, last = start // prepared.BLOCK, -(-stop // prepared.BLOCK)
    count = tf.cast(last - first, tf.int64)
    records = tf.data.TFRecordDataset(path).skip(tf.cast(first, tf.int64) + 1).take(count)
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", "label")}
    parsed = tf.io.parse_example(records.batch(count).get_single_element(), features)
    size = tf.concat([[-1], shape[1:]], axis=0)
    image = tf.reshape(tf.io.decode_raw(parsed["image"], tf.int16), size)
    return image, tf.reshape(tf.io.decode_raw(parsed["label"], tf.uint8), size), first * prepared.BLOCK
