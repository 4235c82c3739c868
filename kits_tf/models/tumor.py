"""Stage 2: the 3D tumor network, a max-pool U-Net with CBAM and two heads, segmentation and regression."""

import keras

from kits_tf.models import arguments
from kits_tf.models.attention import AttentionGate
from kits_tf.models.blocks import (
    NORMALIZATIONS,
    convolution,
    convolution_block,
    max_pooling,
    segmentation_head,
    up_convolution,
)
from kits_tf.models.cbam import CBAM
from kits_tf.models.network import Network

ATTENTIONS = ("cbam", "gate", "both", "none")
# The signed distance is clipped and counted in units of its bound, so that its head is bounded too.
REGRESSIONS = {"intensity": "linear", "tumor_intensity": "linear", "signed_distance": "tanh"}


@keras.saving.register_keras_serializable(package="kits_tf")
class TumorNetwork(Network):
    """Tumor in a sub-block of a kidney's cube, after Lee et al. (KiTS19, 2019).

    A 3D U-Net: level l has F = base_filters * 2**l filters; encoder, bottom and decoder blocks map to F, F; pooling by
    maximum; 2 x 2 x 2 up-convolutions to F / 2. A CBAM (Woo et al. 2018) follows each encoder block, the bottom one
    among them, and each decoder block. Oktay's attention gates, where chosen, weigh every skip but the finest.

        network = TumorNetwork(base_filters=8)
        outputs = network(np.zeros((1, 48, 24, 24, 1), "float32"))
        outputs["logits"].shape, outputs["regression"].shape         # (1, 48, 24, 24, 1), (1, 48, 24, 24, 1)

    Input: [batch, depth, height, width, 1], scaled intensities, each size a multiple of 2**depth (the argument).
    Outputs: a dict of "logits" [batch, depth, height, width, 1], to be passed through a sigmoid, and "regression" of
    the same shape; both float32 under every precision.

    Args:
        base_filters: filters of the finest level.
        depth: number of poolings.
        attention: "cbam", "gate", "both" or "none".
        normalization: "batch" or "group".
        regression: what the regression head is trained towards: the "intensity" of the input, the "tumor_intensity"
            (both in a linear unit), or the "signed_distance" to the tumor as a share of its bound, in (-1, 1).
        batch_norm_momentum: of the moving averages.
        size: (depth, height, width) of the input where they are fixed; None leaves an axis open.

    Raises:
        ValueError: an argument is out of its range; names it, its value and what it takes.
    """

    def __init__(
        self,
        base_filters=32,
        depth=3,
        attention="cbam",
        normalization="batch",
        regression="intensity",
        batch_norm_momentum=0.99,
        size=(None, None, None),
        **kwargs,
    ):
        arguments.positive_integer("base_filters", base_filters)
        arguments.positive_integer("depth", depth)
        arguments.one_of("attention", attention, ATTENTIONS)
        arguments.one_of("normalization", normalization, NORMALIZATIONS)
        arguments.one_of("regression", regression, tuple(REGRESSIONS))
        arguments.fraction("batch_norm_momentum", batch_norm_momentum)
        arguments.divisible_size("size", size, 3, 2**depth)
        norm = (normalization, batch_norm_momentum)
        filters = [base_filters * 2**level for level in range(depth + 1)]

        def block(x, level, name):
            x = convolution_block(x, (filters[level], filters[level]), *norm, name)
            return CBAM(16, *norm, name=f"{name}_cbam")(x) if attention in ("cbam", "both") else x

        inputs = keras.Input((*size, 1), name="block")
        skips, x = [], inputs
        for level in range(depth):
            x = block(x, level, f"encoder_{level}")
            skips.append(x)
            x = max_pooling(3, name=f"pooling_{level}")(x)
        x = block(x, depth, "bottom")
        for level in reversed(range(depth)):
            skip = skips[level]
            if attention in ("gate", "both") and level > 0:
                skip = AttentionGate(*norm, name=f"gate_{level}")(skip, x)
            x = up_convolution(3, filters[level], kernel_initializer="he_normal", name=f"unpooling_{level}")(x)
            x = keras.layers.Concatenate(axis=-1, name=f"joined_{level}")([skip, x])
            x = block(x, level, f"decoder_{level}")

        super().__init__(
            inputs=inputs,
            outputs=heads(x, REGRESSIONS[regression]),
            options={
                "base_filters": base_filters,
                "depth": depth,
                "attention": attention,
                "normalization": normalization,
                "regression": regression,
                "batch_norm_momentum": batch_norm_momentum,
                "size": tuple(size),
            },
            depth=depth,
            **kwargs,
        )


def heads(x, activation):
    """The 1 x 1 x 1 convolutions on the last decoder features; float32, as half-precision heads lose small gradients.

    Args:
        x: [batch, depth, height, width, channels].
        activation: of the regression head.
    """
    return {
        "logits": segmentation_head(3, x),
        "regression": convolution(3, 1, 1, activation=activation, dtype="float32", name="regression")(x),
    }
