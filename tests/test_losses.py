"""Both stages' losses are NumPy's formulas and values by hand, finite at every extreme, and train through `fit`."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kits_tf import losses
from kits_tf.config import KidneyConfig, TumorConfig
from kits_tf.losses import SegmentationLoss
from kits_tf.metrics import Dice
from kits_tf.models import KidneyNetwork, TumorNetwork

LN3 = math.log(3.0)  # sigmoid(ln 3) = 3/4
REGRESSIONS = ("intensity", "tumor_intensity", "signed_distance")


def plane(*values):
    """One sample of two by two pixels, one channel."""
    return np.array(values, "float32").reshape(1, 2, 2, 1)


LABELS, LOGITS = plane(1, 0, 1, 0), plane(LN3, LN3, 0, -LN3)


@pytest.mark.parametrize("weight", [1.0, 5.0])
def test_cross_entropy_by_hand(weight):
    # -ln 3/4, -ln 1/4, -ln 1/2, -ln 3/4
    expected = [weight * math.log(4 / 3), math.log(4), weight * math.log(2), math.log(4 / 3)]
    np.testing.assert_allclose(np.ravel(losses.cross_entropy(LABELS, LOGITS, weight)), expected, rtol=1e-6)
    assert float(SegmentationLoss(weight)(LABELS, LOGITS)) == pytest.approx(np.mean(expected), rel=1e-6)


def test_a_confident_mistake_costs_its_logit():
    label = plane(0, 1, 0, 1)
    np.testing.assert_allclose(losses.cross_entropy(label, 1e4 * (1 - 2 * label)), np.full((1, 2, 2, 1), 1e4))


def test_dice_loss_by_hand():
    # p = 3/4, 3/4, 1/2, 1/4: overlap 5/4, sums 9/4 and 2, smoothing 1
    assert float(losses.dice_loss(LABELS, LOGITS)) == pytest.approx(1 - 3.5 / 5.25, rel=1e-6)
    nothing = plane(0, 0, 0, 0)
    assert float(losses.dice_loss(nothing, nothing - 100)) == pytest.approx(0, abs=1e-6)
    assert float(losses.dice_loss(nothing, nothing + 100)) == pytest.approx(1 - 1 / 5, rel=1e-6)


def test_dice_over_samples_counts_a_small_foreground_as_much_as_a_large_one():
    """One voxel of four missed, p = 0 there, and four of four found: 1 - 1 / 2 and 0; over the batch 1 - 9 / 10."""
    labels = np.reshape([1, 0, 0, 0, 1, 1, 1, 1], (2, 2, 2, 1)).astype(np.float32)
    logits = np.reshape([-100] * 4 + [100] * 4, (2, 2, 2, 1)).astype(np.float32)
    np.testing.assert_allclose(losses.dice_loss(labels, logits, "sample"), [0.5, 0], atol=1e-6)
    assert float(losses.dice_loss(labels, logits, "batch")) == pytest.approx(1 - 9 / 10, rel=1e-6)


def case_of(config):
    """(loss, targets, outputs, NumPy's terms, NumPy's total): random outputs, for tumors of 1, 6, 50 and 0 ml."""
    rng, shape, weight = np.random.default_rng(0), (4, 2, 4, 6, 1), 1
    if config.stage == "kidney":
        shape = (2, 4, 6, 1)
        targets = {"label": rng.integers(0, 2, shape), "slab": rng.random((2, 4, 6, 3), "float32")}
    else:
        targets = {
            "label": rng.integers(0, 2, shape) * np.reshape([1, 1, 1, 0], (4, 1, 1, 1, 1)),
            "image": rng.random(shape, "float32"),
            "distance_mm": rng.normal(0, 15, shape).astype("float32"),
            "tumor_ml": np.array([1.0, 6.0, 50.0, 0.0]),
        }
        small = [min(max(config.small_tumor_ml / ml, 1), config.max_small_tumor_weight) for ml in (1, 6, 50)]
        weight = config.tumor_weight * np.reshape([*small, 1], (4, 1, 1, 1, 1))
    label, outputs = targets["label"], {"logits": rng.normal(size=shape).astype("float32")}
    p = 1 / (1 + np.exp(-outputs["logits"].astype(np.float64)))
    terms = {"cross_entropy": -np.mean(weight * label * np.log(p) + (1 - label) * np.log(1 - p))}
    total = terms["cross_entropy"]
    if config.dice_weight:
        terms["dice_loss"] = 1 - (2 * np.sum(p * label) + 1) / (np.sum(p) + np.sum(label) + 1)
        total += config.dice_weight * terms["dice_loss"]
    if config.stage == "kidney":
        channels = {"centre": [1], "slab": [0, 1, 2], "none": []}[config.reconstruction]
        if channels:
            outputs["reconstruction"] = rng.random((2, 4, 6, len(channels)), "float32")
            terms["reconstruction_loss"] = np.mean((outputs["reconstruction"] - targets["slab"][..., channels]) ** 2)
            total += config.reconstruction_weight * terms["reconstruction_loss"]
        return losses.kidney_loss, targets, outputs, terms, total
    # The regression stays above its target: finite differences must not straddle the kink of the absolute value.
    outputs["regression"] = 3 + rng.random(shape, "float32")
    target = targets["image"]
    if config.regression == "signed_distance":
        target = np.clip(targets["distance_mm"].astype(np.float64) / config.max_distance_mm, -1, 1)
    error = np.abs(outputs["regression"].astype(np.float64) - target)
    if config.regression == "tumor_intensity":
        error = [one[mask == 1].mean() if mask.any() else 0 for one, mask in zip(error, label, strict=True)]
    terms["regression_loss"] = np.mean(error)
    return losses.tumor_loss, targets, outputs, terms, total + config.regression_weight * terms["regression_loss"]


KIDNEY, TUMOR = KidneyConfig(), TumorConfig()
CHANGES = [
    (KIDNEY, {"reconstruction": "slab"}),
    (KIDNEY, {"reconstruction": "none"}),
    (KIDNEY, {"reconstruction_weight": 3.0}),
    (KIDNEY, {"dice_weight": 0.5}),
    (TUMOR, {"regression": "tumor_intensity"}),
    (TUMOR, {"regression": "signed_distance"}),
    (TumorConfig(regression="signed_distance"), {"max_distance_mm": 8.0}),
    (TUMOR, {"regression_weight": 3.0}),
    (TUMOR, {"tumor_weight": 7.0}),
    (TUMOR, {"small_tumor_ml": 4.0}),
    (TUMOR, {"max_small_tumor_weight": 2.0}),
    (TUMOR, {"dice_weight": 0.5}),
]


@pytest.mark.parametrize(("base", "change"), CHANGES)
def test_every_option_changes_the_loss_to_numpys(base, change):
    totals = []
    for config in (base, dataclasses.replace(base, **change)):
        loss, targets, outputs, terms, expected = case_of(config)
        total, found = loss(targets, outputs, config)
        assert {name: float(value) for name, value in found.items()} == pytest.approx(terms, rel=1e-5)
        assert float(total) == pytest.approx(expected, rel=1e-5)
        totals.append(expected)
    assert abs(totals[1] - totals[0]) > 1e-3


@pytest.mark.parametrize(
    ("tumor_ml", "weight"), [(0, 1), (1e-9, 4), (2.5, 4), (4, 2.5), (9.9, 10 / 9.9), (10, 1), (500, 1)]
)
def test_small_tumor_weight_by_hand(tumor_ml, weight):
    config = TumorConfig(small_tumor_ml=10.0, max_small_tumor_weight=4.0)
    assert float(losses.small_tumor_weight(np.array([tumor_ml]), config)[0]) == pytest.approx(weight, rel=1e-6)


ALL = [KidneyConfig(dice_weight=0.5), KidneyConfig(reconstruction="slab", reconstruction_weight=0.7)] + [
    TumorConfig(regression=regression, regression_weight=0.7, dice_weight=0.5) for regression in REGRESSIONS
]


@pytest.mark.parametrize("config", ALL)
def test_gradients_are_finite_differences(config):
    loss, targets, outputs, _, _ = case_of(config)
    variables = {name: tf.Variable(value) for name, value in outputs.items()}
    with tf.GradientTape() as tape:
        total = loss(targets, variables, config)[0]
    for name, gradient in tape.gradient(total, variables).items():
        direction = np.random.default_rng(2).normal(size=outputs[name].shape).astype("float32")
        up, down = (outputs | {name: outputs[name] + step * direction} for step in (0.01, -0.01))
        slope = (float(loss(targets, up, config)[0]) - float(loss(targets, down, config)[0])) / 0.02
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("config", ALL)
@pytest.mark.parametrize(("foreground", "logit"), [(0, 1e4), (1, -1e4), (1, 0.0)])
def test_finite_for_extreme_masks_and_logits(config, foreground, logit):
    loss, targets, outputs, _, _ = case_of(config)
    targets = targets | {"label": np.full_like(targets["label"], foreground)}
    variables = {name: tf.Variable(np.full_like(value, logit)) for name, value in outputs.items()}
    with tf.GradientTape() as tape:
        total, terms = loss(targets, variables, config)
    for value in (total, *terms.values(), *tape.gradient(total, list(variables.values()))):
        assert np.all(np.isfinite(value))


def test_half_precision_outputs_are_summed_in_float32():
    label = np.ones((1, 256, 256, 1), "float16")
    outputs = {"logits": tf.zeros(label.shape, tf.float16), "reconstruction": tf.zeros(label.shape, tf.float16)}
    total, terms = losses.kidney_loss({"label": label, "slab": np.repeat(label, 3, -1)}, outputs, ALL[0])
    assert total.dtype == tf.float32
    assert float(terms["dice_loss"]) == pytest.approx(1 - (65536 + 1) / (65536 * 1.5 + 1), rel=1e-5)


@pytest.mark.parametrize(
    ("network", "shape", "second", "loss"),
    [
        (KidneyNetwork, (16, 16, 3), "reconstruction", "mean_squared_error"),
        (TumorNetwork, (8, 8, 8, 1), "regression", "mean_absolute_error"),
    ],
)
def test_keras_trains_the_networks(network, shape, second, loss, tmp_path):
    """`fit` reports what the losses of a config give, lowers it, and the compiled model survives saving."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((4, *shape), "float32"), rng.random((4, *shape[:-1], 1)) < 0.3
    images += labels
    keras.utils.set_random_seed(0)
    model = network(2, depth=1, normalization="group")
    terms = {"logits": SegmentationLoss(2.0, dice_weight=0.5), second: loss}
    optimizer = keras.optimizers.Adam(0.01)
    model.compile(optimizer, loss=terms, loss_weights={"logits": 1.0, second: 0.1}, metrics={"logits": Dice()})
    targets = {"logits": labels, second: images[..., 1:2] if len(shape) == 3 else images}
    history = model.fit(images, targets, batch_size=4, epochs=6, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    report = model.evaluate(images, targets, verbose=0, return_dict=True)
    logits = model(images)["logits"]
    expected = np.mean(losses.cross_entropy(labels, logits, 2.0)) + 0.5 * losses.dice_loss(labels, logits)
    assert report["logits_loss"] == pytest.approx(float(expected), rel=1e-4)
    found = np.asarray(logits) > 0
    assert report["logits_dice"] == pytest.approx(2 * np.sum(found & labels) / (found.sum() + labels.sum()), rel=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(images, targets, verbose=0, return_dict=True) == pytest.approx(report, rel=1e-5)
