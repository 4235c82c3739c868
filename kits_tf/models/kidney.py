"""Stage 1: the 2.5D kidney network, a U-Net with lossless pooling, attention gates and an autoencoding head."""

from __future__ import annotations

from typing import Any

import keras

from kits_tf.config import Normalization, Pooling, Reconstruction
from kits_tf.models.unet import UNet, checked_options, head, logits_head, unet

RECONSTRUCTED_CHANNELS = {"centre": 1, "slab": 3, "none": 0}


@keras.saving.register_keras_serializable(package="kits_tf")
class KidneyNetwork(UNet):
    """Kidney (with tumor) in the centre slice of a slab of three, after Lee et al. (KiTS19, 2019).

    Input: [batch, height, width, 3], intensities scaled to [0, 1]; height and width are multiples of 2**depth.
    Outputs: dict of "logits" [batch, height, width, 1] and, unless `reconstruction` is "none", "reconstruction"
    [batch, height, width, 1 or 3]. Both are float32 under every precision.

    Args:
        base_filters: filters of the finest level.
        depth: number of poolings.
        pooling: "polyphase", "haar" or "max".
        attention: add attention gates to every skip but the finest.
        normalization: "batch" or "group".
        reconstruction: what the autoencoding head rebuilds: the "centre" slice, the whole "slab", or "none".
        batch_norm_momentum: of the moving averages.
        size: (height, width) of the input; None where a size is not fixed.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: an argument or the size of an input is out of range.

    Example:
        >>> network = KidneyNetwork(base_filters=8)
        >>> outputs = network(keras.ops.zeros((1, 64, 48, 3)))
        >>> {name: tuple(output.shape) for name, output in outputs.items()}
        {'logits': (1, 64, 48, 1), 'reconstruction': (1, 64, 48, 1)}
    """

    def __init__(
        self,
        base_filters: int = 64,
        depth: int = 4,
        pooling: Pooling = "polyphase",
        attention: bool = True,
        normalization: Normalization = "batch",
        reconstruction: Reconstruction = "centre",
        batch_norm_momentum: float = 0.99,
        size: tuple[int | None, int | None] = (None, None),
        **kwargs: Any,
    ) -> None:
        options = checked_options(KidneyNetwork, locals())
        norm = (normalization, batch_norm_momentum)
        inputs = keras.Input((*size, 3), name="slab")
        x = unet(inputs, base_filters, depth, pooling=pooling, gates=attention, norm=norm)
        outputs = {"logits": logits_head(x)}
        if reconstruction != "none":
            outputs["reconstruction"] = head(x, RECONSTRUCTED_CHANNELS[reconstruction], "reconstruction")
        super().__init__(inputs=inputs, outputs=outputs, options=options, **kwargs)
