"""The two stages' losses. Keras only; all in float32, from logits, finite for every mask and every finite logit."""

from keras import ops

DICE_SMOOTHING = 1.0  # voxels added to both sides of the fraction, so that two empty masks agree


def cross_entropy(labels, logits, foreground_weight=1.0):
    """Mean over voxels of the binary cross-entropy, foreground voxels counted `foreground_weight` times.

    -w y log p - (1 - y) log(1 - p) with p = sigmoid(z), written as w y softplus(-z) + (1 - y) softplus(z): no
    probability is formed, so nothing overflows. The mean is over the number of voxels, not over the weights.

    Args:
        labels: [batch, *spatial, 1], 0 or 1.
        logits: the same shape.
        foreground_weight: a number, or an array that broadcasts against `labels`.

    Returns:
        A float32 scalar.
    """
    labels, logits = ops.cast(labels, "float32"), ops.cast(logits, "float32")
    return ops.mean(foreground_weight * labels * ops.softplus(-logits) + (1 - labels) * ops.softplus(logits))


def dice_loss(labels, logits, over="batch"):
    """One minus the soft Dice: 1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s), s = 1.

    Args:
        labels: [batch, *spatial, 1], 0 or 1.
        logits: the same shape.
        over: "batch": the sums are over all voxels of the batch, which suits batches in which many samples hold no
            foreground. "sample": over each sample's voxels, then the mean, so that small foregrounds count as much as
            large ones.

    Returns:
        A float32 scalar in [0, 1]; 0 for empty masks with no probability anywhere.
    """
    labels, probability = ops.cast(labels, "float32"), ops.sigmoid(ops.cast(logits, "float32"))
    axes = tuple(range(0 if over == "batch" else 1, len(labels.shape)))
    overlap = ops.sum(probability * labels, axis=axes)
    total = ops.sum(probability, axis=axes) + ops.sum(labels, axis=axes)
    return ops.mean(1 - (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING))


def kidney_loss(targets, outputs, config):
    """Stage 1: cross-entropy + reconstruction_weight x mean square error of the autoencoding head.

    Args:
        targets: {"label": [batch, height, width, 1], 0 or 1; "slab": [batch, height, width, 3], the network's input}.
        outputs: of a `KidneyNetwork`.
        config: a `KidneyConfig`; `reconstruction`, `reconstruction_weight` and `dice_weight` matter here.

    Returns:
        The total, and its terms before weighting: "cross_entropy"; "reconstruction" unless the config says "none";
        "dice" (one minus the soft Dice) where `dice_weight` is not 0. Float32 scalars.
    """
    total, terms = segmentation_terms(targets["label"], outputs["logits"], 1.0, config)
    if config.reconstruction != "none":
        slab = ops.cast(targets["slab"], "float32")
        target = slab[..., 1:2] if config.reconstruction == "centre" else slab
        terms["reconstruction"] = ops.mean(ops.square(ops.cast(outputs["reconstruction"], "float32") - target))
        total = total + config.reconstruction_weight * terms["reconstruction"]
    return total, terms


def tumor_loss(targets, outputs, config):
    """Stage 2: weighted cross-entropy + regression_weight x L1 of the regression head.

    Args:
        targets: {"label": [batch, depth, height, width, 1], 0 or 1; "image": the same shape, the network's input;
            "distance_mm": the same shape, signed distance to the tumor, negative inside (for "signed_distance" alone);
            "tumor_ml": [batch], the whole tumor's volume}.
        outputs: of a `TumorNetwork`.
        config: a `TumorConfig`; its weights, `regression` and `max_distance_mm` matter here.

    Returns:
        The total, and its terms before weighting by the config: "cross_entropy" (tumor voxels weighted), "regression",
        and "dice" (one minus the soft Dice) where `dice_weight` is not 0. Float32 scalars.
    """
    rank = len(targets["label"].shape)
    weight = config.tumor_weight * small_tumor_weight(targets["tumor_ml"], config)
    weight = ops.reshape(weight, (-1, *[1] * (rank - 1)))
    total, terms = segmentation_terms(targets["label"], outputs["logits"], weight, config)
    terms["regression"] = regression_loss(targets, ops.cast(outputs["regression"], "float32"), config)
    return total + config.regression_weight * terms["regression"], terms


def segmentation_terms(labels, logits, foreground_weight, config):
    """The part that both losses share: cross-entropy and, where asked for, soft Dice; the total and its terms."""
    terms = {"cross_entropy": cross_entropy(labels, logits, foreground_weight)}
    total = terms["cross_entropy"]
    if config.dice_weight:
        terms["dice"] = dice_loss(labels, logits, config.dice_over)
        total = total + config.dice_weight * terms["dice"]
    return total, terms


def small_tumor_weight(tumor_ml, config):
    """What tumor voxels of a case weigh beyond `tumor_weight`: the bounded inverse of the tumor's volume.

    clip(small_tumor_ml / tumor_ml, 1, max_small_tumor_weight); 1 for a case without tumor.

    Args:
        tumor_ml: [batch].
        config: `small_tumor_ml` and `max_small_tumor_weight`.

    Returns:
        [batch], float32.
    """
    tumor_ml = ops.cast(tumor_ml, "float32")
    present = tumor_ml > 0
    inverse = config.small_tumor_ml / ops.where(present, tumor_ml, 1.0)
    bounded = ops.minimum(ops.maximum(inverse, 1.0), config.max_small_tumor_weight)
    return ops.where(present, bounded, 1.0)


def regression_loss(targets, regression, config):
    """The L1 loss of the regression head towards the target that the config names.

    "intensity": mean over voxels of |r - image|. "tumor_intensity": the same mean over each sample's tumor voxels
    alone, 0 for a sample without any, then the mean over samples. "signed_distance": mean over voxels of
    |r - clip(distance_mm / max_distance_mm, -1, 1)|.

    Args:
        targets: as for `tumor_loss`.
        regression: [batch, depth, height, width, 1], float32.
        config: `regression` and `max_distance_mm`.

    Returns:
        A float32 scalar.
    """
    if config.regression == "signed_distance":
        share = ops.cast(targets["distance_mm"], "float32") / config.max_distance_mm
        return ops.mean(ops.abs(regression - ops.clip(share, -1.0, 1.0)))
    error = ops.abs(regression - ops.cast(targets["image"], "float32"))
    if config.regression == "intensity":
        return ops.mean(error)
    label = ops.cast(targets["label"], "float32")
    voxels = tuple(range(1, len(label.shape)))
    return ops.mean(ops.sum(error * label, axis=voxels) / ops.maximum(ops.sum(label, axis=voxels), 1.0))
