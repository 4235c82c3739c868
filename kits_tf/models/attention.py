"""The additive attention gate of Oktay et al. (Attention U-Net, 2018), in two or three dimensions."""

import keras
from keras import ops

from kits_tf.models import arguments
from kits_tf.models.blocks import NORMALIZATIONS, convolution, normalization_layer
from kits_tf.models.resize import LinearUpsampling


@keras.saving.register_keras_serializable(package="kits_tf")
class AttentionGate(keras.layers.Layer):
    """Weighs skip features x by what the next coarser decoder features g say is worth a look.

    alpha = sigmoid(psi^T relu(W_x x + W_g g + b_g) + b_psi)
    output = normalise(W (alpha x)), alpha resampled linearly to the grid of x

    W_x: kernel = stride = 2, no bias; W_g: 1 x 1 with bias; psi: 1 x 1 to one channel with bias; W: 1 x 1 to the
    channels of x, no bias since a normalisation follows. F_int, the channels of W_x x, equals the channels of x.
    g lies on the grid of W_x x, half the size of x in each axis, so neither needs resampling.

        gated = AttentionGate()(x, g)     # [batch, 32, 32, 64], [batch, 16, 16, 128] -> [batch, 32, 32, 64]

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

    def build(self, features_shape, gating_shape):
        rank, channels = len(features_shape) - 2, features_shape[-1]
        policy = {"dtype": self.dtype_policy}
        init = {"kernel_initializer": "he_normal", **policy}
        self.features_map = convolution(
            rank, channels, 2, strides=2, padding="valid", use_bias=False, name="features_map", **init
        )
        self.gating_map = convolution(rank, channels, 1, name="gating_map", **init)
        self.score = convolution(rank, 1, 1, name="score", **policy)
        self.resample = LinearUpsampling(name="resample", **policy)
        self.output_map = convolution(rank, channels, 1, use_bias=False, name="output_map", **init)
        self.norm = normalization_layer(self.normalization, channels, self.momentum, name="norm", **policy)
        self.features_map.build(features_shape)
        self.gating_map.build(gating_shape)
        half_shape = self.features_map.compute_output_shape(features_shape)
        self.score.build(half_shape)
        self.output_map.build(features_shape)
        self.norm.build(features_shape)

    def coefficients(self, features, gating):
        """alpha on the grid of `features`: [batch, *spatial, 1], in (0, 1)."""
        hidden = ops.relu(self.features_map(features) + self.gating_map(gating))
        return self.resample(ops.sigmoid(self.score(hidden)))

    def call(self, features, gating, training=None):
        gated = features * self.coefficients(features, gating)
        return self.norm(self.output_map(gated), training=training)

    def compute_output_shape(self, features_shape, gating_shape):
        return features_shape

    def get_config(self):
        return {**super().get_config(), "normalization": self.normalization, "momentum": self.momentum}
