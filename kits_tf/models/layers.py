"""The layers that the networks add to those of Keras: lossless pooling, attention gates and CBAM.

All are channels last, run on every Keras backend, and accept inputs whose spatial size is unknown.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kits_tf.config import Normalization

Shape = tuple  # of ints, or None where a size is unknown

OPEN = 2.0
"""Bias before the sigmoids of CBAM: they start near one (sigmoid(2) = 0.88).

At zero, as in Woo et al. (2018), each would start at a half. A U-Net has no residual path around them, so seven
modules in a row would leave little of the signal and its gradient, and training would need several times the steps.
"""


def convolution(rank: int, filters: int, kernel_size: int, **options: Any) -> keras.Layer:
    """Return a 2D or 3D convolution, channels last, with "same" padding unless `options` say otherwise."""
    kind = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[rank]
    return kind(filters, kernel_size, **{"padding": "same", "data_format": "channels_last", **options})


def normalization_layer(kind: Normalization, channels: int, momentum: float, **options: Any) -> keras.Layer:
    """Return batch or group normalization over the last axis.

    Groups hold 8 channels or, where 8 does not divide them, the next larger number that does. `momentum` is that of
    the moving averages of batch normalization; `options` are passed to the Keras layer.
    """
    if kind == "batch":
        return keras.layers.BatchNormalization(axis=-1, momentum=momentum, epsilon=1e-5, **options)
    groups = max(n for n in range(1, max(1, channels // 8) + 1) if channels % n == 0)
    return keras.layers.GroupNormalization(groups, axis=-1, epsilon=1e-5, **options)


@keras.saving.register_keras_serializable(package="kits_tf")
class PolyphasePooling(keras.layers.Layer):
    """Polyphase decomposition: [batch, height, width, C] to [batch, height / 2, width / 2, 4 C].

    It only rearranges its input, so that low and high frequencies survive the pooling alike: the frame bounds of
    Ye, Han and Cha (2018) are both one.

    Example:
        >>> x = keras.ops.reshape(keras.ops.arange(4.0), (1, 2, 2, 1))
        >>> print(keras.ops.convert_to_numpy(PolyphasePooling()(x)))
        [[[[0. 1. 2. 3.]]]]
    """

    def call(self, x: Any) -> Any:
        return ops.space_to_depth(x, 2, data_format="channels_last")

    def compute_output_shape(self, input_shape: Shape) -> Shape:  # PyTorch would trace unknown sizes as odd numbers
        batch, *size, channels = input_shape
        return (batch, *(length and length // 2 for length in size), 4 * channels)


@keras.saving.register_keras_serializable(package="kits_tf")
class PolyphaseUnpooling(keras.layers.Layer):
    """Inverse of `PolyphasePooling`: [batch, height, width, 4 C] to [batch, 2 height, 2 width, C]."""

    def call(self, x: Any) -> Any:
        return ops.depth_to_space(x, 2, data_format="channels_last")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, *size, channels = input_shape
        return (batch, *(length and 2 * length for length in size), channels // 4)


@keras.saving.register_keras_serializable(package="kits_tf")
class HaarPooling(PolyphasePooling):
    """Orthonormal 2D Haar transform: as `PolyphasePooling`, with sums and differences of the four phases."""

    def call(self, x: Any) -> Any:
        return haar(super().call(x))


@keras.saving.register_keras_serializable(package="kits_tf")
class HaarUnpooling(PolyphaseUnpooling):
    """Inverse of `HaarPooling`."""

    def call(self, x: Any) -> Any:
        return super().call(haar(x))


def haar(phases: Any) -> Any:
    """Mix the four phases [..., 4 C] into the bands of the Haar transform; it is its own inverse."""
    a, b, c, d = ops.split(phases, 4, axis=-1)
    return ops.concatenate([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], axis=-1) / 2


def upsample_linear(x: Any) -> Any:
    """Double each spatial axis of [batch, *spatial, channels] by linear interpolation with half-sample centres.

    Keras has no layer for this: `UpSampling3D` is never linear, and `UpSampling2D` needs known sizes in a graph.
    """
    for axis in range(1, len(x.shape) - 1):
        length = ops.shape(x)[axis]
        index = ops.arange(length, dtype="int32")  # not slices: OpenVINO reads an empty slice as one sample
        before = ops.take(x, ops.maximum(index - 1, 0), axis=axis)
        after = ops.take(x, ops.minimum(index + 1, length - 1), axis=axis)
        shape = list(ops.shape(x))
        shape[axis] = 2 * length
        x = ops.reshape(ops.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1), shape)
    return x


@keras.saving.register_keras_serializable(package="kits_tf")
class AttentionGate(keras.layers.Layer):
    """Additive attention gate of Oktay et al. (Attention U-Net, 2018) on the skip connection of a U-Net, 2D or 3D.

    The features x of the skip are weighted by what the decoder features g, half their size, find relevant:

        alpha = sigmoid(psi^T relu(W_x x + W_g g + b_g) + b_psi)
        output = normalize(W (alpha x))

    W_x has kernel and stride 2 and no bias, the others are 1 x 1; F_int equals the channels of x. Alpha is upsampled
    linearly to the grid of x.

    Args:
        normalization: "batch" or "group".
        momentum: of batch normalization.

    Example:
        >>> gate = AttentionGate()
        >>> tuple(gate(keras.ops.ones((2, 32, 24, 8)), keras.ops.ones((2, 16, 12, 16))).shape)
        (2, 32, 24, 8)
    """

    def __init__(self, normalization: Normalization = "batch", momentum: float = 0.99, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.normalization = normalization
        self.momentum = momentum

    def build(self, features_shape: Shape, gating_shape: Shape) -> None:
        rank, channels = len(features_shape) - 2, features_shape[-1]
        policy = {"dtype": self.dtype_policy}
        init = {"kernel_initializer": "he_normal", **policy}
        self.features_map = convolution(
            rank, channels, 2, strides=2, padding="valid", use_bias=False, name="features_map", **init
        )
        self.gating_map = convolution(rank, channels, 1, name="gating_map", **init)
        self.score = convolution(rank, 1, 1, name="score", **policy)
        self.output_map = convolution(rank, channels, 1, use_bias=False, name="output_map", **init)
        self.norm = normalization_layer(self.normalization, channels, self.momentum, name="norm", **policy)
        self.features_map.build(features_shape)
        self.gating_map.build(gating_shape)
        self.score.build(self.features_map.compute_output_shape(features_shape))
        self.output_map.build(features_shape)
        self.norm.build(features_shape)

    def coefficients(self, features: Any, gating: Any) -> Any:
        """Return alpha on the grid of `features`: [batch, *spatial, 1], in (0, 1)."""
        hidden = ops.relu(self.features_map(features) + self.gating_map(gating))
        return upsample_linear(ops.sigmoid(self.score(hidden)))

    def call(self, features: Any, gating: Any, training: bool | None = None) -> Any:
        gated = features * self.coefficients(features, gating)
        return self.norm(self.output_map(gated), training=training)

    def compute_output_shape(self, features_shape: Shape, gating_shape: Shape) -> Shape:
        return features_shape


class SlicewiseConvolution3D(keras.layers.Conv3D):
    """A `Conv3D` to one channel with stride 1, "same" padding and no bias, computed slice by slice in 2D.

    It has the weights and the result of `Conv3D`. CPU kernels vectorize over output channels, of which such a `Conv3D`
    has only one; a 2D convolution with one output channel per slice of the kernel has several.
    """

    def call(self, x: Any) -> Any:
        batch, depth, rows, columns, channels = ops.shape(x)
        size = self.kernel_size[0]
        slices = ops.reshape(x, (batch * depth, rows, columns, channels))
        kernel = ops.moveaxis(self.kernel[..., 0], 0, -1)  # [rows, columns, channels, slices]
        x = ops.conv(slices, kernel, padding="same", data_format="channels_last")
        x = ops.reshape(x, (batch, depth, rows, columns, size))
        shifts = [[[[[float(k == slice_)] for k in range(size)]]] for slice_ in range(size)]  # [slices, 1, 1, size, 1]
        shifts = ops.convert_to_tensor(shifts, dtype=x.dtype)
        return ops.conv(x, shifts, padding="same", data_format="channels_last")


@keras.saving.register_keras_serializable(package="kits_tf")
class ChannelAttention(keras.layers.Layer):
    """Channel attention of CBAM: x sigmoid(MLP(mean of x) + MLP(maximum of x)), both over space, the MLP shared.

    The MLP has channels / `reduction` hidden units, at least one.
    """

    def __init__(self, reduction: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reduction = reduction

    def build(self, input_shape: Shape) -> None:
        channels, policy = input_shape[-1], {"dtype": self.dtype_policy}
        units = max(1, channels // self.reduction)
        half = keras.initializers.Constant(OPEN / 2)  # the MLP counts twice, for the mean and for the maximum
        self.hidden = keras.layers.Dense(
            units, activation="relu", kernel_initializer="he_normal", name="hidden", **policy
        )
        self.scores = keras.layers.Dense(channels, bias_initializer=half, name="scores", **policy)
        self.hidden.build((None, channels))
        self.scores.build((None, units))

    def call(self, x: Any) -> Any:
        space = tuple(range(1, len(x.shape) - 1))
        mean = ops.mean(x, axis=space, keepdims=True)
        maximum = ops.max(x, axis=space, keepdims=True)
        return x * ops.sigmoid(self.scores(self.hidden(mean)) + self.scores(self.hidden(maximum)))


@keras.saving.register_keras_serializable(package="kits_tf")
class SpatialAttention(keras.layers.Layer):
    """Spatial attention of CBAM: x sigmoid(normalize(conv7([maximum of x; mean of x]))), both over channels."""

    def __init__(self, normalization: Normalization = "batch", momentum: float = 0.99, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.normalization = normalization
        self.momentum = momentum

    def build(self, input_shape: Shape) -> None:
        policy = {"dtype": self.dtype_policy}
        start = keras.initializers.Constant(OPEN)
        kind = {2: keras.layers.Conv2D, 3: SlicewiseConvolution3D}[len(input_shape) - 2]
        self.scores = kind(1, 7, padding="same", use_bias=False, data_format="channels_last", name="scores", **policy)
        self.norm = normalization_layer(
            self.normalization, 1, self.momentum, beta_initializer=start, name="norm", **policy
        )
        self.scores.build((*input_shape[:-1], 2))
        self.norm.build((*input_shape[:-1], 1))

    def call(self, x: Any, training: bool | None = None) -> Any:
        summary = ops.concatenate([ops.max(x, axis=-1, keepdims=True), ops.mean(x, axis=-1, keepdims=True)], axis=-1)
        return x * ops.sigmoid(self.norm(self.scores(summary), training=training))


@keras.saving.register_keras_serializable(package="kits_tf")
class CBAM(keras.layers.Layer):
    """Convolutional block attention module of Woo et al. (CBAM, 2018): channel, then spatial attention, 2D or 3D.

    Args:
        reduction: channels for each hidden unit of the channel attention.
        normalization: "batch" or "group", of the spatial attention.
        momentum: of batch normalization.

    Example:
        >>> tuple(CBAM()(keras.ops.ones((2, 8, 8, 8, 16))).shape)
        (2, 8, 8, 8, 16)
    """

    def __init__(
        self, reduction: int = 16, normalization: Normalization = "batch", momentum: float = 0.99, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.reduction = reduction
        self.normalization = normalization
        self.momentum = momentum

    def build(self, input_shape: Shape) -> None:
        policy = {"dtype": self.dtype_policy}
        self.channel = ChannelAttention(self.reduction, name="channel", **policy)
        self.spatial = SpatialAttention(self.normalization, self.momentum, name="spatial", **policy)
        self.channel.build(input_shape)
        self.spatial.build(input_shape)

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.spatial(self.channel(x), training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
