"""Stage 1: the 2.5D kidney network, a U-Net with lossless pooling, attention gates and an autoencoding head."""

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
from kits_tf.models.network import Network
from kits_tf.models.polyphase import HaarPooling, HaarUnpooling, PolyphasePooling, PolyphaseUnpooling

POOLINGS = ("polyphase", "haar", "max")
RECONSTRUCTIONS = {"centre": 1, "slab": 3, "none": 0}  # channels that the autoencoding head rebuilds
LOSSLESS = {"polyphase": (PolyphasePooling, PolyphaseUnpooling), "haar": (HaarPooling, HaarUnpooling)}


@keras.saving.register_keras_serializable(package="kits_tf")
class KidneyNetwork(Network):
    """Kidney (with tumor) in the centre slice of a slab of three, after Lee et al. (KiTS19, 2019).

    With lossless pooling it is the polyphase U-Net of Kim and Ye (2018). Level l has F = base_filters * 2**l filters;
    its encoder block maps to F, F; its decoder block takes the level's skip and the coarser level's features, F + F,
    and maps to F, then to 2 F = 4 * (F / 2), which the inverse of the pooling recomposes to F / 2 channels on the next
    finer grid. The bottom block is the encoder block of the last level with that second convolution. With maximum
    pooling it is the U-Net of Ronneberger et al. (2015): blocks map to F, F and a 2 x 2 up-convolution to F / 2.

    Attention gates weigh every skip but the finest; their g is the coarser level's output before recomposition.

        network = KidneyNetwork(base_filters=8)
        outputs = network(np.zeros((1, 64, 48, 3), "float32"))
        outputs["logits"].shape, outputs["reconstruction"].shape     # (1, 64, 48, 1), (1, 64, 48, 1)

    Input: [batch, height, width, 3], scaled intensities, height and width multiples of 2**depth.
    Outputs: a dict of "logits" [batch, height, width, 1], to be passed through a sigmoid, and "reconstruction" [batch,
    height, width, 1 or 3]; both float32 under every precision.

    Args:
        base_filters: filters of the finest level.
        depth: number of poolings.
        pooling: "polyphase", "haar" or "max".
        attention: whether to gate the skips.
        normalization: "batch" or "group".
        reconstruction: what the autoencoding head rebuilds: the "centre" slice, the whole "slab", or "none".
        batch_norm_momentum: of the moving averages.
        size: (height, width) of the input where they are fixed; None leaves an axis open.

    Raises:
        ValueError: an argument is out of its range; names it, its value and what it takes.
    """

    def __init__(
        self,
        base_filters=64,
        depth=4,
        pooling="polyphase",
        attention=True,
        normalization="batch",
        reconstruction="centre",
        batch_norm_momentum=0.99,
        size=(None, None),
        **kwargs,
    ):
        arguments.positive_integer("base_filters", base_filters)
        arguments.positive_integer("depth", depth)
        arguments.one_of("pooling", pooling, POOLINGS)
        arguments.true_or_false("attention", attention)
        arguments.one_of("normalization", normalization, NORMALIZATIONS)
        arguments.one_of("reconstruction", reconstruction, tuple(RECONSTRUCTIONS))
        arguments.fraction("batch_norm_momentum", batch_norm_momentum)
        arguments.divisible_size("size", size, 2, 2**depth)
        norm = (normalization, batch_norm_momentum)
        filters = [base_filters * 2**level for level in range(depth + 1)]

        inputs = keras.Input((*size, 3), name="slab")
        skips, x = encode(inputs, filters, pooling, norm)
        x = convolution_block(x, (filters[depth], decoder_filters(filters, depth, pooling)), *norm, "bottom")
        for level in reversed(range(depth)):
            skip = skips[level]
            if attention and level > 0:
                skip = AttentionGate(*norm, name=f"gate_{level}")(skip, x)
            x = unpool(x, filters[level], pooling, f"unpooling_{level}")
            x = keras.layers.Concatenate(axis=-1, name=f"joined_{level}")([skip, x])
            outputs = (filters[level], decoder_filters(filters, level, pooling))
            x = convolution_block(x, outputs, *norm, f"decoder_{level}")

        super().__init__(
            inputs=inputs,
            outputs=heads(x, RECONSTRUCTIONS[reconstruction]),
            options={
                "base_filters": base_filters,
                "depth": depth,
                "pooling": pooling,
                "attention": attention,
                "normalization": normalization,
                "reconstruction": reconstruction,
                "batch_norm_momentum": batch_norm_momentum,
                "size": tuple(size),
            },
            depth=depth,
            **kwargs,
        )


def encode(x, filters, pooling, norm):
    """The encoder blocks above the bottom: their outputs, finest first, and the last of them pooled."""
    skips = []
    for level, width in enumerate(filters[:-1]):
        x = convolution_block(x, (width, width), *norm, f"encoder_{level}")
        skips.append(x)
        name = f"pooling_{level}"
        x = max_pooling(2, name=name)(x) if pooling == "max" else LOSSLESS[pooling][0](name=name)(x)
    return skips, x


def decoder_filters(filters, level, pooling):
    """Output channels of the decoder (or bottom) block of a level: what the unpooling above it takes."""
    if level == 0 or pooling == "max":
        return filters[level]
    return 4 * filters[level - 1]


def unpool(x, channels, pooling, name):
    """`x` on the next finer grid, with `channels` channels."""
    if pooling == "max":
        return up_convolution(2, channels, kernel_initializer="he_normal", name=name)(x)
    return LOSSLESS[pooling][1](name=name)(x)


def heads(x, reconstructed):
    """The 1 x 1 convolutions on the last decoder features; float32, as half-precision heads lose small gradients."""
    outputs = {"logits": segmentation_head(2, x)}
    if reconstructed:
        outputs["reconstruction"] = convolution(2, reconstructed, 1, dtype="float32", name="reconstruction")(x)
    return outputs
