"""No option of a loss is ignored: one at a time, it changes the loss, and the new value is NumPy's.

NumPy's is in float64 and from probabilities, as the formulas of the papers are.
"""

import dataclasses

import numpy as np
import pytest

from kits_tf import losses
from kits_tf.config import KidneyConfig, TumorConfig, preset

KIDNEY = KidneyConfig()
KIDNEY_CHANGES = [
    {"reconstruction": "slab"},
    {"reconstruction": "none"},
    {"reconstruction_weight": 3.0},
    {"dice_weight": 0.5},
]
TUMOR = TumorConfig()
DISTANCE = {"regression": "signed_distance"}
TUMOR_CHANGES = [
    ({}, {"regression": "tumor_intensity"}),
    ({}, DISTANCE),
    (DISTANCE, {"max_distance_mm": 8.0}),
    ({}, {"regression_weight": 3.0}),
    ({}, {"tumor_weight": 7.0}),
    ({}, {"small_tumor_ml": 4.0}),
    ({}, {"max_small_tumor_weight": 2.0}),
    ({}, {"dice_weight": 0.5}),
]


def foreground_terms(label, logits, weight, config):
    """Weighted cross-entropy, and soft Dice where it counts."""
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    total = -np.mean(weight * label * np.log(probability) + (1 - label) * np.log(1 - probability))
    dice = (2 * np.sum(probability * label) + 1) / (np.sum(probability) + np.sum(label) + 1)
    return total + config.dice_weight * (1 - dice)


def kidney_case(config):
    """(the loss, NumPy's) of fixed random outputs."""
    rng = np.random.default_rng(0)
    targets = {"label": rng.integers(0, 2, (2, 4, 6, 1)), "slab": rng.random((2, 4, 6, 3), "float32")}
    rebuilt = rng.random((2, 4, 6, 3), "float32")
    outputs = {"logits": rng.normal(size=(2, 4, 6, 1)).astype("float32")}
    expected = foreground_terms(targets["label"], outputs["logits"], 1, config)
    channels = {"centre": [1], "slab": [0, 1, 2], "none": []}[config.reconstruction]
    if channels:
        outputs["reconstruction"] = rebuilt[..., channels]
        expected += config.reconstruction_weight * np.mean((rebuilt - targets["slab"])[..., channels] ** 2)
    return float(losses.kidney_loss(targets, outputs, config)[0]), expected


def tumor_case(config):
    """(the loss, NumPy's) of fixed random outputs: a tumor of 1 ml, one of 6 ml, one of 50 ml."""
    rng = np.random.default_rng(0)
    shape = (3, 2, 4, 6, 1)
    targets = {
        "label": rng.integers(0, 2, shape),
        "image": rng.random(shape, "float32"),
        "distance_mm": rng.normal(0, 15, shape).astype("float32"),
        "tumor_ml": np.array([1.0, 6.0, 50.0]),
    }
    outputs = {
        "logits": rng.normal(size=shape).astype("float32"),
        "regression": rng.uniform(-1, 1, shape).astype("float32"),
    }
    small = [min(max(config.small_tumor_ml / ml, 1), config.max_small_tumor_weight) for ml in targets["tumor_ml"]]
    weight = config.tumor_weight * np.reshape(small, (3, 1, 1, 1, 1))
    expected = foreground_terms(targets["label"], outputs["logits"], weight, config)
    error = np.abs(outputs["regression"].astype(np.float64) - targets["image"])
    if config.regression == "intensity":
        regression = error.mean()
    elif config.regression == "tumor_intensity":
        regression = np.mean([np.mean(one[label == 1]) for one, label in zip(error, targets["label"], strict=True)])
    else:
        target = np.clip(targets["distance_mm"].astype(np.float64) / config.max_distance_mm, -1, 1)
        regression = np.abs(outputs["regression"] - target).mean()
    return float(losses.tumor_loss(targets, outputs, config)[0]), expected + config.regression_weight * regression


@pytest.mark.parametrize("change", KIDNEY_CHANGES)
def test_kidney_option(change):
    before, _ = kidney_case(KIDNEY)
    after, expected = kidney_case(dataclasses.replace(KIDNEY, **change))
    assert after == pytest.approx(expected, rel=1e-5)
    assert abs(after - before) > 1e-3


@pytest.mark.parametrize(("base", "change"), TUMOR_CHANGES)
def test_tumor_option(base, change):
    base = dataclasses.replace(TUMOR, **base)
    before, _ = tumor_case(base)
    after, expected = tumor_case(dataclasses.replace(base, **change))
    assert after == pytest.approx(expected, rel=1e-5)
    assert abs(after - before) > 1e-3


@pytest.mark.parametrize(("stage", "plane"), [("kidney", "axial"), ("tumor", None)])
def test_soft_dice_is_off_in_the_paper_preset(stage, plane):
    assert preset("paper", stage, plane).dice_weight == 0
