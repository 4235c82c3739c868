"""Lossless pooling: the polyphase decomposition, the orthonormal Haar transform, and their exact inverses.

Both meet the frame condition a |f|^2 <= |Phi^T f|^2 <= b |f|^2 of Ye, Han and Cha (Deep Convolutional Framelets, 2018)
tightly, a = b = 1, so that low and high frequencies both survive the pooling; pooling by maximum does not.

In `rank` dimensions, each pooling halves every spatial axis and turns C channels into 2**rank C: phase by phase, the
phase of the last spatial axis running fastest, all C channels of a phase together. Spatial sizes must be even.

    pooled = PolyphasePooling()(x)                # [batch, height, width, C] -> [batch, height / 2, width / 2, 4 C]
    x = PolyphaseUnpooling()(pooled)              # and back, bit for bit
"""

import itertools
import math

import keras
import numpy as np
from keras import ops


def decompose(x):
    """The polyphase decomposition.

    Neighbours along the last spatial axis already lie next to each other in memory with their channels, so one
    transposition that moves whole runs of 2 C numbers does it.

    Args:
        x: [batch, *spatial, channels], spatial sizes even.

    Returns:
        [batch, *spatial / 2, 2**rank * channels].
    """
    rank = len(x.shape) - 2
    batch, *spatial, channels = ops.shape(x)
    halves = [length // 2 for length in spatial]
    split = [part for half in halves[:-1] for part in (half, 2)]
    x = ops.reshape(x, (batch, *split, halves[-1], 2 * channels))
    kept = [1 + 2 * axis for axis in range(rank)]
    moved = [2 + 2 * axis for axis in range(rank - 1)]
    x = ops.transpose(x, (0, *kept, *moved, 2 * rank))
    return ops.reshape(x, (batch, *halves, 2**rank * channels))


def recompose(x):
    """The inverse of `decompose`.

    Args:
        x: [batch, *spatial, channels], channels a multiple of 2**rank.

    Returns:
        [batch, *spatial * 2, channels / 2**rank].
    """
    rank = len(x.shape) - 2
    batch, *halves, channels = ops.shape(x)
    channels = channels // 2**rank
    x = ops.reshape(x, (batch, *halves, *[2] * (rank - 1), 2 * channels))
    order = [0]
    for axis in range(rank - 1):
        order += [1 + axis, 1 + rank + axis]
    x = ops.transpose(x, (*order, rank, 2 * rank))
    return ops.reshape(x, (batch, *[2 * half for half in halves], channels))


def haar_matrix(rank):
    """The orthonormal Haar transform of the 2**rank phases: [bands, phases], symmetric and its own inverse.

    Band (i, j, ...) weighs phase (p, q, ...) by (-1)**(i p + j q + ...) / 2**(rank / 2): a sum along the axes where
    the band's index is 0, a difference where it is 1.
    """
    corners = np.array(list(itertools.product((0, 1), repeat=rank)))
    return (-1.0) ** (corners @ corners.T) / math.sqrt(2**rank)


def mix_phases(x):
    """Applies `haar_matrix` across the phases of a decomposed array.

    One difference and one sum an axis (the fast Walsh-Hadamard transform), then one scaling.

    Args:
        x: [batch, *spatial, 2**rank * channels].

    Returns:
        The same shape: bands in the place of phases.
    """
    rank = len(x.shape) - 2
    for axis in range(rank):
        groups = 2**axis
        batch, *spatial, channels = ops.shape(x)
        x = ops.reshape(x, (batch, *spatial, groups, 2, channels // (2 * groups)))
        even, odd = x[..., 0, :], x[..., 1, :]
        x = ops.reshape(ops.stack([even + odd, even - odd], axis=-2), (batch, *spatial, channels))
    return x * (1 / math.sqrt(2**rank))


def pooled_shape(shape):
    """[batch, *spatial, C] -> [batch, *spatial / 2, 2**rank C], with None for unknown sizes.

    Raises:
        ValueError: a spatial size is known and odd.
    """
    batch, *spatial, channels = shape
    if any(length is not None and length % 2 for length in spatial):
        raise ValueError(f"input shape {tuple(shape)}: takes even spatial sizes")
    return (batch, *[None if length is None else length // 2 for length in spatial], channels * 2 ** len(spatial))


def unpooled_shape(shape):
    """[batch, *spatial, C] -> [batch, *spatial * 2, C / 2**rank], with None for unknown sizes.

    Raises:
        ValueError: the channels are no multiple of 2**rank.
    """
    batch, *spatial, channels = shape
    phases = 2 ** len(spatial)
    if channels % phases:
        raise ValueError(f"input shape {tuple(shape)}: takes channels that are a multiple of {phases}")
    return (batch, *[None if length is None else length * 2 for length in spatial], channels // phases)


@keras.saving.register_keras_serializable(package="kits_tf")
class PolyphasePooling(keras.layers.Layer):
    """Space to depth: [batch, *spatial, C] -> [batch, *spatial / 2, 2**rank C], in two or three dimensions."""

    def compute_output_shape(self, input_shape):
        return pooled_shape(input_shape)

    def build(self, input_shape):
        pooled_shape(input_shape)

    def call(self, x):
        return decompose(x)


@keras.saving.register_keras_serializable(package="kits_tf")
class PolyphaseUnpooling(keras.layers.Layer):
    """Depth to space, the inverse and adjoint of `PolyphasePooling`."""

    def compute_output_shape(self, input_shape):
        return unpooled_shape(input_shape)

    def build(self, input_shape):
        unpooled_shape(input_shape)

    def call(self, x):
        return recompose(x)


@keras.saving.register_keras_serializable(package="kits_tf")
class HaarPooling(keras.layers.Layer):
    """The orthonormal Haar transform: [batch, *spatial, C] -> [batch, *spatial / 2, 2**rank C], all bands kept."""

    def compute_output_shape(self, input_shape):
        return pooled_shape(input_shape)

    def build(self, input_shape):
        pooled_shape(input_shape)

    def call(self, x):
        return mix_phases(decompose(x))


@keras.saving.register_keras_serializable(package="kits_tf")
class HaarUnpooling(keras.layers.Layer):
    """The inverse and adjoint of `HaarPooling`."""

    def compute_output_shape(self, input_shape):
        return unpooled_shape(input_shape)

    def build(self, input_shape):
        unpooled_shape(input_shape)

    def call(self, x):
        return recompose(mix_phases(x))
