"""Losses of both stages, from logits, in float32. They import Keras alone, so that they run on each of its backends.

`SegmentationLoss` is the loss of the segmentation head of both networks for `fit`; the other head uses one of Keras:

    >>> import keras, numpy as np
    >>> from kits_tf.models import KidneyNetwork
    >>> slabs, labels = np.random.rand(4, 32, 32, 3), np.random.rand(4, 32, 32, 1) < 0.2
    >>> network = KidneyNetwork(base_filters=4, depth=2)
    >>> network.compile(
    ...     optimizer="adam",
    ...     loss={"logits": SegmentationLoss(dice_weight=1.0), "reconstruction": "mean_squared_error"},
    ...     loss_weights={"logits": 1.0, "reconstruction": 0.1},
    ... )
    >>> history = network.fit(slabs, {"logits": labels, "reconstruction": slabs[..., 1:2]}, batch_size=2, verbose=0)

The head "regression" of a `TumorNetwork` uses "mean_absolute_error" in the same way. `kidney_loss` and `tumor_loss`
are the same losses with the options of a config, for a training loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import keras
from keras import ops

from kits_tf.config import KidneyConfig, TumorConfig

DICE_SMOOTHING = 1.0  # voxels added to numerator and denominator, so that the Dice of two empty masks is 1

Tensor = Any


def cross_entropy(labels: Tensor, logits: Tensor, foreground_weight: Tensor = 1.0) -> Tensor:
    """Return the binary cross-entropy of each voxel, foreground voxels weighted.

    It is -w y log p - (1 - y) log(1 - p) with p = sigmoid(z), computed as w y softplus(-z) + (1 - y) softplus(z),
    which cannot overflow.

    Args:
        labels: [batch, *spatial, 1], 0 or 1.
        logits: the same shape.
        foreground_weight: a number, or an array that broadcasts against `labels`.

    Returns:
        [batch, *spatial, 1] float32.
    """
    labels, logits = ops.cast(labels, "float32"), ops.cast(logits, "float32")
    return foreground_weight * labels * ops.softplus(-logits) + (1 - labels) * ops.softplus(logits)


def dice_loss(
    labels: Tensor,
    logits: Tensor,
    over: Literal["batch", "sample"] = "batch",
    smoothing: float = DICE_SMOOTHING,
) -> Tensor:
    """Return one minus the soft Dice: 1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s) with p = sigmoid(z).

    Args:
        labels: [batch, *spatial, 1], 0 or 1.
        logits: the same shape.
        over: "batch" sums over all voxels of the batch, which suits batches with many empty samples; "sample" sums
            over each sample, so that small foregrounds count as much as large ones.
        smoothing: s, in voxels.

    Returns:
        float32 in [0, 1]: a scalar for "batch", [batch] for "sample".
    """
    labels, probability = ops.cast(labels, "float32"), ops.sigmoid(ops.cast(logits, "float32"))
    axes = tuple(range(0 if over == "batch" else 1, len(labels.shape)))
    overlap = ops.sum(probability * labels, axis=axes)
    total = ops.sum(probability, axis=axes) + ops.sum(labels, axis=axes)
    return 1 - (2 * overlap + smoothing) / (total + smoothing)


@keras.saving.register_keras_serializable(package="kits_tf")
class SegmentationLoss(keras.losses.Loss):
    """Binary cross-entropy from logits plus a weighted soft Dice loss, for a network's output "logits".

    Args:
        foreground_weight: weight of foreground voxels in the cross-entropy, `tumor_weight` of a config.
        dice_weight: weight of the soft Dice loss; 0 leaves it out.
        dice_over: voxels that the soft Dice loss sums over, "batch" or "sample"; see `dice_loss`.
        **kwargs: of `keras.losses.Loss`.

    Example:
        >>> loss = SegmentationLoss(foreground_weight=2.0, dice_weight=1.0)
        >>> float(loss(keras.ops.ones((1, 8, 8, 1)), keras.ops.full((1, 8, 8, 1), 100.0)))
        0.0
    """

    def __init__(
        self,
        foreground_weight: float = 1.0,
        dice_weight: float = 0.0,
        dice_over: Literal["batch", "sample"] = "batch",
        name: str = "segmentation_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.foreground_weight = foreground_weight
        self.dice_weight = dice_weight
        self.dice_over = dice_over

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        voxels = tuple(range(1, len(y_pred.shape)))
        loss = ops.mean(cross_entropy(y_true, y_pred, self.foreground_weight), axis=voxels)
        return loss + self.dice_weight * dice_loss(y_true, y_pred, self.dice_over) if self.dice_weight else loss

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("foreground_weight", "dice_weight", "dice_over")}
        return {**super().get_config(), **own}


def kidney_loss(
    targets: Mapping[str, Tensor], outputs: Mapping[str, Tensor], config: KidneyConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of stage 1: segmentation + reconstruction_weight x mean square error of the autoencoding head.

    Args:
        targets: {"label": [batch, height, width, 1], 0 or 1; "slab": [batch, height, width, 3], the input}.
        outputs: of a `KidneyNetwork`.
        config: its `dice_weight`, `dice_over`, `reconstruction` and `reconstruction_weight` are used.

    Returns:
        (total, terms): the terms before weighting are "cross_entropy", "dice_loss" if `dice_weight` is not 0, and
        "reconstruction_loss" unless `reconstruction` is "none". Float32 scalars.
    """
    total, terms = _segmentation_terms(targets["label"], outputs["logits"], 1.0, config)
    if config.reconstruction != "none":
        target = targets["slab"][..., 1:2] if config.reconstruction == "centre" else targets["slab"]
        error = ops.cast(outputs["reconstruction"], "float32") - ops.cast(target, "float32")
        terms["reconstruction_loss"] = ops.mean(ops.square(error))
        total = total + config.reconstruction_weight * terms["reconstruction_loss"]
    return total, terms


def tumor_loss(
    targets: Mapping[str, Tensor], outputs: Mapping[str, Tensor], config: TumorConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of stage 2: weighted segmentation + regression_weight x L1 loss of the regression head.

    Args:
        targets: {"label": [batch, depth, height, width, 1], 0 or 1; "image": the same shape, the input;
            "distance_mm": the same shape, signed distance to the tumor, negative inside (for "signed_distance" only);
            "tumor_ml": [batch], volume of the whole tumor}.
        outputs: of a `TumorNetwork`.
        config: its weights, `dice_over`, `regression`, `max_distance_mm` and `small_tumor_ml` are used.

    Returns:
        (total, terms): the terms before weighting by the config are "cross_entropy", "dice_loss" if `dice_weight` is
        not 0, and "regression_loss". Float32 scalars.
    """
    weight = config.tumor_weight * small_tumor_weight(targets["tumor_ml"], config)
    weight = ops.reshape(weight, (-1, *[1] * (len(targets["label"].shape) - 1)))
    total, terms = _segmentation_terms(targets["label"], outputs["logits"], weight, config)
    terms["regression_loss"] = regression_loss(targets, outputs["regression"], config)
    return total + config.regression_weight * terms["regression_loss"], terms


def _segmentation_terms(
    labels: Tensor, logits: Tensor, foreground_weight: Tensor, config: KidneyConfig | TumorConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the total and the terms of the segmentation head."""
    total = ops.mean(cross_entropy(labels, logits, foreground_weight))
    terms = {"cross_entropy": total}
    if config.dice_weight:
        terms["dice_loss"] = ops.mean(dice_loss(labels, logits, config.dice_over))
        total = total + config.dice_weight * terms["dice_loss"]
    return total, terms


def small_tumor_weight(tumor_ml: Tensor, config: TumorConfig) -> Tensor:
    """Return the extra weight of each sample's tumor voxels: the bounded inverse of the tumor's volume.

    It is clip(small_tumor_ml / tumor_ml, 1, max_small_tumor_weight), or 1 without tumor; [batch] float32.
    """
    tumor_ml = ops.cast(tumor_ml, "float32")
    present = tumor_ml > 0
    inverse = config.small_tumor_ml / ops.where(present, tumor_ml, 1.0)
    return ops.where(present, ops.clip(inverse, 1.0, config.max_small_tumor_weight), 1.0)


def regression_loss(targets: Mapping[str, Tensor], regression: Tensor, config: TumorConfig) -> Tensor:
    """Return the L1 loss of the regression head, a float32 scalar.

    "intensity" is the mean over voxels of |r - image|; "tumor_intensity" the same over each sample's tumor, 0 without
    one; "signed_distance" the mean of |r - clip(distance_mm / max_distance_mm, -1, 1)|. Arguments: see `tumor_loss`.
    """
    regression = ops.cast(regression, "float32")
    if config.regression == "signed_distance":
        distance = ops.cast(targets["distance_mm"], "float32") / config.max_distance_mm
        return ops.mean(ops.abs(regression - ops.clip(distance, -1.0, 1.0)))
    error = ops.abs(regression - ops.cast(targets["image"], "float32"))
    if config.regression == "intensity":
        return ops.mean(error)
    label = ops.cast(targets["label"], "float32")
    voxels = tuple(range(1, len(label.shape)))
    return ops.mean(ops.sum(error * label, axis=voxels) / ops.maximum(ops.sum(label, axis=voxels), 1.0))
