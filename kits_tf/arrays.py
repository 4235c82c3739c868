"""The few array operations that geometry needs, bound to NumPy or to TensorFlow.

`geometry` takes one of these as its argument `xp`, so that prediction on NumPy arrays and a TensorFlow graph run the
same arithmetic. Names and arguments are NumPy's.
"""

import functools

import numpy


class NumPy:
    """The operations on `numpy.ndarray`."""

    float32 = numpy.float32
    float64 = numpy.float64
    int32 = numpy.int32

    asarray = staticmethod(numpy.asarray)
    arange = staticmethod(numpy.arange)
    ceil = staticmethod(numpy.ceil)
    clip = staticmethod(numpy.clip)
    concatenate = staticmethod(numpy.concatenate)
    flip = staticmethod(numpy.flip)
    matmul = staticmethod(numpy.matmul)
    max = staticmethod(numpy.max)
    maximum = staticmethod(numpy.maximum)
    minimum = staticmethod(numpy.minimum)
    pad = staticmethod(numpy.pad)
    reshape = staticmethod(numpy.reshape)
    round = staticmethod(numpy.round)
    stack = staticmethod(numpy.stack)
    sum = staticmethod(numpy.sum)
    tensordot = staticmethod(numpy.tensordot)
    transpose = staticmethod(numpy.transpose)
    where = staticmethod(numpy.where)

    @staticmethod
    def cast(x, dtype):
        return numpy.asarray(x).astype(dtype, copy=False)

    @staticmethod
    def shape(x):
        return x.shape

    @staticmethod
    def take(x, indices, axis):
        return x[(slice(None),) * axis + (indices,)]  # numpy.take would first copy the whole of a cropped view


@functools.cache
def tensorflow():
    """The same operations on `tf.Tensor`, of sizes known or not; TensorFlow is imported on the first call."""
    import tensorflow as tf

    class TensorFlow:
        float32 = tf.float32
        float64 = tf.float64
        int32 = tf.int32

        asarray = staticmethod(tf.convert_to_tensor)
        arange = staticmethod(tf.range)
        ceil = staticmethod(tf.math.ceil)
        cast = staticmethod(tf.cast)
        clip = staticmethod(tf.clip_by_value)
        concatenate = staticmethod(tf.concat)
        flip = staticmethod(lambda x, axis: tf.reverse(x, [axis]))
        matmul = staticmethod(tf.matmul)
        max = staticmethod(tf.reduce_max)
        maximum = staticmethod(tf.maximum)
        minimum = staticmethod(tf.minimum)
        pad = staticmethod(lambda x, widths: tf.pad(x, [tuple(width) for width in widths]))
        reshape = staticmethod(tf.reshape)
        round = staticmethod(tf.round)
        shape = staticmethod(tf.shape)
        stack = staticmethod(tf.stack)
        sum = staticmethod(tf.reduce_sum)
        take = staticmethod(tf.gather)
        tensordot = staticmethod(tf.tensordot)
        transpose = staticmethod(tf.transpose)
        where = staticmethod(tf.where)

    return TensorFlow
