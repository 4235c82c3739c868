"""The U-Net that both networks are made of, in two or three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_type_hints

import keras

from kits_tf.config import Normalization, Pooling, check_value
from kits_tf.models.layers import (
    CBAM,
    AttentionGate,
    HaarPooling,
    HaarUnpooling,
    PolyphasePooling,
    PolyphaseUnpooling,
    convolution,
    normalization_layer,
)

LOSSLESS = {"polyphase": (PolyphasePooling, PolyphaseUnpooling), "haar": (HaarPooling, HaarUnpooling)}
AXES = {2: "height and width", 3: "depth, height and width"}


class UNet(keras.Model):
    """A functional model that checks the size of its input and is rebuilt from its constructor's arguments.

    Args:
        inputs: the Keras tensor of the image.
        outputs: dict of Keras tensors.
        options: the constructor's arguments, for `get_config`; `depth` is the number of poolings.
        **kwargs: of `keras.Model`.
    """

    def __init__(self, *, inputs: Any, outputs: dict[str, Any], options: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.options = dict(options)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> dict[str, Any]:
        check_size(inputs.shape[1:-1], self.options["depth"])
        return super().call(inputs, training=training, mask=mask)

    def get_config(self) -> dict[str, Any]:
        return {**self.options, "name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> UNet:
        return cls(**config)


def check_size(size: Sequence[int | None], depth: int) -> None:
    """Raise a ValueError if a known spatial size cannot be halved `depth` times."""
    if any(length is not None and length % 2**depth for length in size):
        got = " x ".join("?" if length is None else str(length) for length in size)
        raise ValueError(f"{AXES[len(size)]} must be multiples of {2**depth}, got {got}")


def checked_options(network: type[UNet], variables: dict[str, Any]) -> dict[str, Any]:
    """Return a constructor's arguments from its local variables, once they are valid.

    Raises:
        ValueError: an argument does not have its annotated type, or is out of range.
    """
    hints = get_type_hints(network.__init__)
    options = {name: variables[name] for name in hints if name not in ("size", "kwargs", "return")}
    for name, value in options.items():
        check_value(name, value, hints[name])
    if options["batch_norm_momentum"] >= 1:
        raise ValueError(f"batch_norm_momentum must be less than 1, got {options['batch_norm_momentum']!r}")
    check_size(variables["size"], options["depth"])
    return options | {"size": tuple(variables["size"])}


def unet(
    x: Any,
    base_filters: int,
    depth: int,
    *,
    pooling: Pooling = "max",
    gates: bool = False,
    cbam: bool = False,
    norm: tuple[Normalization, float] = ("batch", 0.99),
) -> Any:
    """Return the features of the last decoder block of a U-Net.

    Level l has F = base_filters * 2**l filters. With maximum pooling this is the U-Net of Ronneberger et al. (2015):
    blocks map to F, F and a 2 x 2 (x 2) up-convolution to F / 2. With lossless pooling it is the polyphase U-Net of
    Kim and Ye (2018): the bottom block and each decoder block but the last map to F, then to 2 F = 4 (F / 2) channels,
    which the inverse of the pooling recomposes to F / 2 channels on the next finer grid.

    Args:
        x: Keras tensor [batch, *spatial, channels]; two or three spatial axes.
        base_filters: filters of the finest level.
        depth: number of poolings.
        pooling: "max", or in 2D "polyphase" or "haar".
        gates: add an attention gate to every skip but the finest; it is driven by the next coarser block.
        cbam: add a CBAM after every block.
        norm: "batch" or "group", and the momentum of batch normalization.
    """
    rank = len(x.shape) - 2
    filters = [base_filters * 2**level for level in range(depth + 1)]
    lossless = LOSSLESS.get(pooling)

    def block(x: Any, widths: tuple[int, int], name: str) -> Any:
        """Add twice a convolution without bias, normalization and ReLU, then perhaps a CBAM."""
        init: dict[str, Any] = {"use_bias": False, "kernel_initializer": "he_normal"}
        for index, width in enumerate(widths):
            # In bfloat16, a CT that is not normalized would be rounded to steps of 6 HU.
            precise = {"dtype": "float32"} if (name, index) == ("encoder_0", 0) else {}
            x = convolution(rank, width, 3, name=f"{name}_convolution_{index}", **init, **precise)(x)
            x = normalization_layer(norm[0], width, norm[1], name=f"{name}_normalization_{index}", **precise)(x)
            x = keras.layers.ReLU(name=f"{name}_relu_{index}")(x)
        return CBAM(16, *norm, name=f"{name}_cbam")(x) if cbam else x

    def decoder_widths(level: int) -> tuple[int, int]:
        """Return the filters of a block whose output is unpooled to the next finer level."""
        return filters[level], 4 * filters[level - 1] if lossless and level > 0 else filters[level]

    skips = []
    for level in range(depth):
        x = block(x, (filters[level], filters[level]), f"encoder_{level}")
        skips.append(x)
        x = lossless[0](name=f"pooling_{level}")(x) if lossless else max_pooling(rank, f"pooling_{level}")(x)
    x = block(x, decoder_widths(depth), "bottom")
    for level in reversed(range(depth)):
        skip = skips[level]
        if gates and level > 0:
            skip = AttentionGate(*norm, name=f"gate_{level}")(skip, x)
        name = f"unpooling_{level}"
        x = lossless[1](name=name)(x) if lossless else up_convolution(rank, filters[level], name)(x)
        x = keras.layers.Concatenate(axis=-1, name=f"joined_{level}")([skip, x])
        x = block(x, decoder_widths(level), f"decoder_{level}")
    return x


def max_pooling(rank: int, name: str) -> keras.Layer:
    """Return a pooling by maximum over 2 x 2 (x 2)."""
    kind = {2: keras.layers.MaxPooling2D, 3: keras.layers.MaxPooling3D}[rank]
    return kind(2, data_format="channels_last", name=name)


def up_convolution(rank: int, filters: int, name: str) -> keras.Layer:
    """Return a transposed convolution that doubles each spatial axis."""
    kind = {2: keras.layers.Conv2DTranspose, 3: keras.layers.Conv3DTranspose}[rank]
    return kind(filters, 2, strides=2, data_format="channels_last", kernel_initializer="he_normal", name=name)


def head(x: Any, channels: int, name: str, **options: Any) -> Any:
    """Return a 1 x 1 (x 1) convolution of the features, in float32: half precision would lose small gradients."""
    return convolution(len(x.shape) - 2, channels, 1, dtype="float32", name=name, **options)(x)


def logits_head(x: Any) -> Any:
    """Return the logit of the foreground, which starts at sigmoid(-2) = 0.12 since foreground is rare."""
    return head(x, 1, "logits", bias_initializer=keras.initializers.Constant(-2.0))
