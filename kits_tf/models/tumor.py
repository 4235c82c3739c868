"""Stage 2: the 3D tumor network, a max-pooling U-Net with CBAM and a regression head."""

from __future__ import annotations

from typing import Any

import keras

from kits_tf.config import Normalization, Regression, TumorAttention
from kits_tf.models.unet import UNet, checked_options, head, logits_head, unet

# The signed distance is clipped and divided by its bound, so its head is bounded too.
ACTIVATIONS = {"intensity": "linear", "tumor_intensity": "linear", "signed_distance": "tanh"}


@keras.saving.register_keras_serializable(package="kits_tf")
class TumorNetwork(UNet):
    """Tumor in a sub-block of a kidney's cube, after Lee et al. (KiTS19, 2019).

    Input: [batch, depth, height, width, 1], intensities scaled to [0, 1]; each size is a multiple of 2**depth (the
    argument). Outputs: dict of "logits" and "regression", both of the input's shape and float32 under every precision.

    Args:
        base_filters: filters of the finest level.
        depth: number of poolings.
        attention: "cbam" after every block, an attention "gate" on every skip but the finest, "both" or "none".
        normalization: "batch" or "group".
        regression: what the regression head predicts: the "intensity" of the input, that within the tumor
            ("tumor_intensity"), or the "signed_distance" to the tumor as a fraction of its bound, in (-1, 1).
        batch_norm_momentum: of the moving averages.
        size: (depth, height, width) of the input; None where a size is not fixed.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: an argument or the size of an input is out of range.

    Example:
        >>> network = TumorNetwork(base_filters=8)
        >>> outputs = network(keras.ops.zeros((1, 48, 24, 24, 1)))
        >>> {name: tuple(output.shape) for name, output in outputs.items()}
        {'logits': (1, 48, 24, 24, 1), 'regression': (1, 48, 24, 24, 1)}
    """

    def __init__(
        self,
        base_filters: int = 32,
        depth: int = 3,
        attention: TumorAttention = "cbam",
        normalization: Normalization = "batch",
        regression: Regression = "intensity",
        batch_norm_momentum: float = 0.99,
        size: tuple[int | None, int | None, int | None] = (None, None, None),
        **kwargs: Any,
    ) -> None:
        options = checked_options(TumorNetwork, locals())
        gates, cbam = attention in ("gate", "both"), attention in ("cbam", "both")
        norm = (normalization, batch_norm_momentum)
        inputs = keras.Input((*size, 1), name="block")
        x = unet(inputs, base_filters, depth, gates=gates, cbam=cbam, norm=norm)
        outputs = {
            "logits": logits_head(x),
            "regression": head(x, 1, "regression", activation=ACTIVATIONS[regression]),
        }
        super().__init__(inputs=inputs, outputs=outputs, options=options, **kwargs)
