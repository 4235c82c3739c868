"""The convolutional block attention module of Woo et al. (CBAM, 2018), in two or three dimensions.

Both attentions start near one: biases before their sigmoids begin at OPEN in all. At Woo's zeros they would begin at a
half each, in a row, and a U-Net has no residual path around them as Woo's networks have: after seven modules little of
a signal, and of its gradient, is left, and training takes several times as many steps.
"""

import keras
from keras import ops

from kits_tf.models import arguments
from kits_tf.models.blocks import NORMALIZATIONS, convolution, normalization_layer
from kits_tf.models.slicewise import SlicewiseConvolution3D

OPEN = 2.0  # sigmoid(2) = 0.88


@keras.saving.register_keras_serializable(package="kits_tf")
class ChannelAttention(keras.layers.Layer):
    """x * sigmoid(MLP(mean of x) + MLP(maximum of x)), mean and maximum over space, the MLP shared.

    The MLP: channels / reduction hidden units (never below one) with bias and ReLU, then as many units as channels,
    with bias. [batch, *spatial, channels] -> the same.

    Args:
        reduction: channels per hidden unit.

    Raises:
        ValueError: an argument is out of its range; names it, its value and what it takes.
    """

    def __init__(self, reduction=16, **kwargs):
        arguments.positive_integer("reduction", reduction)
        super().__init__(**kwargs)
        self.reduction = reduction

    def build(self, input_shape):
        channels = input_shape[-1]
        hidden = max(1, channels // self.reduction)
        policy = {"dtype": self.dtype_policy}
        self.hidden = keras.layers.Dense(
            hidden, activation="relu", kernel_initializer="he_normal", name="hidden", **policy
        )
        # The MLP is added twice, for the mean and for the maximum.
        half = keras.initializers.Constant(OPEN / 2)
        self.scores = keras.layers.Dense(channels, bias_initializer=half, name="scores", **policy)
        self.hidden.build((None, channels))
        self.scores.build((None, hidden))

    def weights_of(self, x):
        """The channels' weights: [batch, 1, ..., 1, channels], in (0, 1)."""
        space = tuple(range(1, len(x.shape) - 1))
        mean = ops.mean(x, axis=space, keepdims=True)
        maximum = ops.max(x, axis=space, keepdims=True)
        return ops.sigmoid(self.scores(self.hidden(mean)) + self.scores(self.hidden(maximum)))

    def call(self, x):
        return x * self.weights_of(x)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction}


@keras.saving.register_keras_serializable(package="kits_tf")
class SpatialAttention(keras.layers.Layer):
    """x * sigmoid(normalise(conv7([maximum of x; mean of x]))), maximum and mean over channels, no bias.

    [batch, *spatial, channels] -> the same.

    Args:
        normalization: "batch" or "group".
        momentum: of batch normalisation.

    Raises:
        ValueError: an argument is out of its range; names it, its value and what it takes.
    """

    def __init__(self, normalization="batch", momentum=0.99, **kwargs):
        arguments.one_of("normalization", normalization, NORMALIZATIONS)
        arguments.fraction("momentum", momentum)
        super().__init__(**kwargs)
        self.normalization = normalization
        self.momentum = momentum

    def build(self, input_shape):
        rank = len(input_shape) - 2
        policy = {"dtype": self.dtype_policy}
        if rank == 3:
            self.scores = SlicewiseConvolution3D(7, name="scores", **policy)
        else:
            self.scores = convolution(rank, 1, 7, use_bias=False, name="scores", **policy)
        start = keras.initializers.Constant(OPEN)
        self.norm = normalization_layer(
            self.normalization, 1, self.momentum, beta_initializer=start, name="norm", **policy
        )
        self.scores.build((*input_shape[:-1], 2))
        self.norm.build((*input_shape[:-1], 1))

    def weights_of(self, x, training=None):
        """The voxels' weights: [batch, *spatial, 1], in (0, 1)."""
        summary = ops.concatenate([ops.max(x, axis=-1, keepdims=True), ops.mean(x, axis=-1, keepdims=True)], axis=-1)
        return ops.sigmoid(self.norm(self.scores(summary), training=training))

    def call(self, x, training=None):
        return x * self.weights_of(x, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "normalization": self.normalization, "momentum": self.momentum}


@keras.saving.register_keras_serializable(package="kits_tf")
class CBAM(keras.layers.Layer):
    """Channel attention, then spatial attention: [batch, *spatial, channels] -> the same.

        x = CBAM()(x)

    Args:
        reduction: channels per hidden unit of the channel attention.
        normalization: "batch" or "group", of the spatial attention.
        momentum: of batch normalisation.

    Raises:
        ValueError: an argument is out of its range; names it, its value and what it takes.
    """

    def __init__(self, reduction=16, normalization="batch", momentum=0.99, **kwargs):
        arguments.positive_integer("reduction", reduction)
        arguments.one_of("normalization", normalization, NORMALIZATIONS)
        arguments.fraction("momentum", momentum)
        super().__init__(**kwargs)
        self.reduction = reduction
        self.normalization = normalization
        self.momentum = momentum

    def build(self, input_shape):
        policy = {"dtype": self.dtype_policy}
        self.channel = ChannelAttention(self.reduction, name="channel", **policy)
        self.spatial = SpatialAttention(self.normalization, self.momentum, name="spatial", **policy)
        self.channel.build(input_shape)
        self.spatial.build(input_shape)

    def call(self, x, training=None):
        return self.spatial(self.channel(x), training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        own = {"reduction": self.reduction, "normalization": self.normalization, "momentum": self.momentum}
        return {**super().get_config(), **own}
