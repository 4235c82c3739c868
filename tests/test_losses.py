"""Both stages' losses against values worked out by hand; finite at every extreme; gradients by finite differences."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from kits_tf import losses
from kits_tf.config import KidneyConfig, TumorConfig

LN3 = math.log(3.0)  # sigmoid(ln 3) = 3/4


def plane(*values):
    """One sample of two by two pixels, one channel."""
    return np.array(values, "float32").reshape(1, 2, 2, 1)


def block(*values):
    """One sample of one by two by two voxels, one channel."""
    return np.array(values, "float32").reshape(1, 1, 2, 2, 1)


def slab(centre):
    """A slab whose outer slices are 0 and 1."""
    return np.concatenate([np.zeros_like(centre), centre, np.ones_like(centre)], axis=-1)


def test_cross_entropy_by_hand():
    labels, logits = plane(1, 0, 1, 0), plane(LN3, LN3, 0, -LN3)
    # -ln 3/4, -ln 1/4, -ln 1/2, -ln 3/4
    expected = (math.log(4 / 3) + math.log(4) + math.log(2) + math.log(4 / 3)) / 4
    assert float(losses.cross_entropy(labels, logits)) == pytest.approx(expected, rel=1e-6)


def test_foreground_weight_by_hand():
    labels, logits = plane(1, 0, 1, 0), plane(LN3, LN3, 0, -LN3)
    expected = (5 * math.log(4 / 3) + math.log(4) + 5 * math.log(2) + math.log(4 / 3)) / 4
    assert float(losses.cross_entropy(labels, logits, 5.0)) == pytest.approx(expected, rel=1e-6)


def test_dice_loss_by_hand():
    labels, logits = plane(1, 0, 1, 0), plane(LN3, LN3, 0, -LN3)
    # p = 3/4, 3/4, 1/2, 1/4: overlap 5/4, sums 9/4 and 2, smoothing 1
    assert float(losses.dice_loss(labels, logits)) == pytest.approx(1 - 3.5 / 5.25, rel=1e-6)


def test_dice_over_samples_counts_a_small_foreground_as_much_as_a_large_one():
    """One voxel of four missed, p = 0 there, and four of four found: 1 - 1 / 2 and 0; over the batch 1 - 9 / 10."""
    labels = np.reshape([1, 0, 0, 0, 1, 1, 1, 1], (2, 2, 2, 1)).astype(np.float32)
    logits = np.reshape([-100] * 4 + [100] * 4, (2, 2, 2, 1)).astype(np.float32)
    assert float(losses.dice_loss(labels, logits, "sample")) == pytest.approx((0.5 + 0) / 2, rel=1e-6)
    assert float(losses.dice_loss(labels, logits, "batch")) == pytest.approx(1 - 9 / 10, rel=1e-6)


def test_dice_loss_of_empty_masks():
    nothing = plane(0, 0, 0, 0)
    assert float(losses.dice_loss(nothing, nothing - 100)) == pytest.approx(0, abs=1e-6)
    assert float(losses.dice_loss(nothing, nothing + 100)) == pytest.approx(1 - 1 / 5, rel=1e-6)
    assert float(losses.dice_loss(nothing + 1, nothing + 100)) == pytest.approx(0, abs=1e-6)


KIDNEY_CASES = [
    ("centre", 0.1, 0.0, plane(0.5, 0.5, 0.5, 0.5), (0.25 + 0 + 0.25 + 1) / 4),
    ("slab", 2.0, 0.0, slab(plane(0.5, 0.5, 0.5, 0.5)), (0.25 + 0 + 0.25 + 1) / 12),
    ("slab", 0.5, 3.0, 1 - slab(plane(1, 0.5, 0, -0.5)), (4 + 0 + 0 + 0 + 0 + 4) / 12),
    ("none", 0.1, 1.0, None, None),
]


@pytest.mark.parametrize(("target", "weight", "dice_weight", "reconstruction", "square_error"), KIDNEY_CASES)
def test_kidney_loss_by_hand(target, weight, dice_weight, reconstruction, square_error):
    config = KidneyConfig(reconstruction=target, reconstruction_weight=weight, dice_weight=dice_weight)
    targets = {"label": plane(1, 0, 1, 0), "slab": slab(plane(0, 0.5, 1, 1.5))}
    outputs = {"logits": plane(LN3, LN3, 0, -LN3), "reconstruction": reconstruction}
    total, terms = losses.kidney_loss(targets, outputs, config)
    expected = {"cross_entropy": (2 * math.log(4 / 3) + math.log(4) + math.log(2)) / 4}
    expected_total = expected["cross_entropy"]
    if square_error is not None:
        expected["reconstruction"] = square_error
        expected_total += weight * square_error
    if dice_weight:
        expected["dice"] = 1 - 3.5 / 5.25
        expected_total += dice_weight * expected["dice"]
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, rel=1e-6)
    assert float(total) == pytest.approx(expected_total, rel=1e-6)


@pytest.mark.parametrize(
    ("tumor_ml", "weight"), [(0, 1), (1e-9, 4), (1, 4), (2.5, 4), (4, 2.5), (9.9, 10 / 9.9), (10, 1), (500, 1)]
)
def test_small_tumor_weight_by_hand(tumor_ml, weight):
    config = TumorConfig(small_tumor_ml=10.0, max_small_tumor_weight=4.0)
    assert float(losses.small_tumor_weight(np.array([tumor_ml]), config)[0]) == pytest.approx(weight, rel=1e-6)


def tumor_example():
    """Two samples: a tumor of 4 ml (weight 2.5 beyond the class's) with two voxels, and a kidney without one."""
    label = np.concatenate([block(1, 0, 1, 0), block(0, 0, 0, 0)])
    targets = {
        "label": label,
        "image": np.concatenate([block(0.5, 0.25, 0, 1), block(0, 0, 0, 0)]),
        "distance_mm": np.concatenate([block(5, -5, 40, -40), block(-99, -99, -99, -99)]),
        "tumor_ml": np.array([4.0, 0.0]),
    }
    outputs = {
        "logits": np.concatenate([block(LN3, LN3, 0, -LN3), block(0, 0, 0, 0)]),
        "regression": np.concatenate([block(0, 0, 0.25, 0), block(0, 0, 0, 1)]),
    }
    return targets, outputs


REGRESSIONS = {
    # |r - image|: 0.5, 0.25, 0.25, 1; 0, 0, 0, 1
    "intensity": 3 / 8,
    # first sample's tumor 0.5 and 0.25, second sample without: 0
    "tumor_intensity": (0.75 / 2 + 0) / 2,
    # targets over 20 mm, clipped: 0.25, -0.25, 1, -1; -1, -1, -1, -1
    "signed_distance": (0.25 + 0.25 + 0.75 + 1 + 1 + 1 + 1 + 2) / 8,
}


@pytest.mark.parametrize("regression", REGRESSIONS)
@pytest.mark.parametrize(("tumor_weight", "mu", "dice_weight"), [(2.0, 0.1, 0.0), (1.0, 3.0, 0.5)])
def test_tumor_loss_by_hand(regression, tumor_weight, mu, dice_weight):
    config = TumorConfig(
        regression=regression, regression_weight=mu, tumor_weight=tumor_weight, dice_weight=dice_weight,
        small_tumor_ml=10.0, max_small_tumor_weight=4.0, max_distance_mm=20.0,
    )  # fmt: skip
    targets, outputs = tumor_example()
    total, terms = losses.tumor_loss(targets, outputs, config)
    foreground = tumor_weight * 2.5 * (math.log(4 / 3) + math.log(2))
    background = math.log(4) + math.log(4 / 3) + 4 * math.log(2)
    expected = {"cross_entropy": (foreground + background) / 8, "regression": REGRESSIONS[regression]}
    expected_total = expected["cross_entropy"] + mu * expected["regression"]
    if dice_weight:
        expected["dice"] = 1 - (2 * 1.25 + 1) / (2.25 + 2 + 2 + 1)  # over both samples
        expected_total += dice_weight * expected["dice"]
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, rel=1e-6)
    assert float(total) == pytest.approx(expected_total, rel=1e-6)


def test_tumor_intensity_without_any_tumor_is_zero():
    targets, outputs = tumor_example()
    targets = targets | {"label": np.zeros_like(targets["label"]), "tumor_ml": np.zeros(2)}
    _, terms = losses.tumor_loss(targets, outputs, TumorConfig(regression="tumor_intensity"))
    assert float(terms["regression"]) == 0


def kidney_gradient(label, logits, config):
    outputs = {"logits": tf.Variable(logits), "reconstruction": tf.Variable(logits / 1e4)}
    with tf.GradientTape() as tape:
        total, terms = losses.kidney_loss({"label": label, "slab": slab(label)}, outputs, config)
    return total, terms, tape.gradient(total, [outputs["logits"], outputs["reconstruction"]])


def tumor_gradient(label, logits, config):
    outputs = {"logits": tf.Variable(logits), "regression": tf.Variable(logits / 1e4)}
    targets = {"label": label, "image": label, "distance_mm": label, "tumor_ml": np.array([label.sum()])}
    with tf.GradientTape() as tape:
        total, terms = losses.tumor_loss(targets, outputs, config)
    return total, terms, tape.gradient(total, [outputs["logits"], outputs["regression"]])


STAGES = [(kidney_gradient, plane, KidneyConfig(dice_weight=1.0))] + [
    (tumor_gradient, block, TumorConfig(dice_weight=1.0, regression=regression)) for regression in REGRESSIONS
]


@pytest.mark.parametrize(("gradient", "sample", "config"), STAGES)
@pytest.mark.parametrize("mask", [(0, 0, 0, 0), (1, 1, 1, 1), (1, 0, 0, 1)])
@pytest.mark.parametrize("logit", [-1e4, -50.0, 0.0, 50.0, 1e4])
def test_finite_for_extreme_masks_and_logits(gradient, sample, config, mask, logit):
    label = sample(*mask)
    total, terms, gradients = gradient(label, np.full_like(label, logit), config)
    for value in (total, *terms.values(), *gradients):
        assert np.all(np.isfinite(value))


def test_a_confident_mistake_costs_its_logit():
    label = plane(0, 1, 0, 1)
    assert float(losses.cross_entropy(label, 1e4 * (1 - 2 * label))) == pytest.approx(1e4)
    assert float(losses.cross_entropy(label, 1e4 * (2 * label - 1))) == 0


def finite_difference(loss, outputs, name, direction, step):
    """Slope of the loss along `direction` in one output, by central differences."""
    ends = [
        float(loss({key: value + sign * step * direction * (key == name) for key, value in outputs.items()}))
        for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * step)


def check_slopes(loss, outputs):
    """The gradient along random directions equals the finite difference."""
    rng = np.random.default_rng(2)
    variables = {name: tf.Variable(value) for name, value in outputs.items()}
    with tf.GradientTape() as tape:
        total = loss(variables)
    for name, gradient in tape.gradient(total, variables).items():
        for _ in range(3):
            direction = rng.normal(size=outputs[name].shape).astype("float32")
            expected = finite_difference(loss, outputs, name, direction, 1e-2)
            assert float(np.sum(gradient * direction)) == pytest.approx(expected, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("reconstruction", ["centre", "slab"])
def test_kidney_gradients_by_finite_differences(reconstruction):
    rng = np.random.default_rng(0)
    config = KidneyConfig(reconstruction=reconstruction, reconstruction_weight=0.7, dice_weight=0.5)
    targets = {"label": rng.integers(0, 2, (2, 3, 4, 1)), "slab": rng.random((2, 3, 4, 3), "float32")}
    channels = 1 if reconstruction == "centre" else 3
    outputs = {
        "logits": rng.normal(size=(2, 3, 4, 1)).astype("float32"),
        "reconstruction": rng.random((2, 3, 4, channels), "float32"),
    }
    check_slopes(lambda outputs: losses.kidney_loss(targets, outputs, config)[0], outputs)


@pytest.mark.parametrize("regression", REGRESSIONS)
def test_tumor_gradients_by_finite_differences(regression):
    rng = np.random.default_rng(0)
    config = TumorConfig(regression=regression, regression_weight=0.7, dice_weight=0.5)
    shape = (2, 2, 3, 4, 1)
    targets = {
        "label": rng.integers(0, 2, shape),
        "image": rng.random(shape, "float32"),
        "distance_mm": rng.normal(0, 20, shape).astype("float32"),
        "tumor_ml": np.array([3.0, 30.0]),
    }
    # The regression stays 2 above its target: finite differences must not straddle the kink of the absolute value.
    outputs = {"logits": rng.normal(size=shape).astype("float32"), "regression": 3 + rng.random(shape, "float32")}
    check_slopes(lambda outputs: losses.tumor_loss(targets, outputs, config)[0], outputs)


def test_half_precision_outputs_are_summed_in_float32():
    config = dataclasses.replace(KidneyConfig(), dice_weight=1.0)
    label = np.ones((1, 256, 256, 1), "float16")
    outputs = {"logits": tf.zeros(label.shape, tf.float16), "reconstruction": tf.zeros(label.shape, tf.float16)}
    total, terms = losses.kidney_loss({"label": label, "slab": slab(label)}, outputs, config)
    assert total.dtype == tf.float32
    assert float(terms["dice"]) == pytest.approx(1 - (65536 + 1) / (65536 * 1.5 + 1), rel=1e-5)
