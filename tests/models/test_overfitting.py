"""Both networks learn one small planted sample by heart, seen in inference mode; both heads' losses fall."""

import dataclasses

import numpy as np
import pytest

from experiments.overfit_two import overfit
from kits_tf.config import preset


def planted(size):
    """Two samples: a bright ellipsoid in noise, foreground where it is. ([2, *size] float32, the same 0 or 1.)"""
    rng = np.random.default_rng(0)
    x = rng.normal(0.3, 0.05, (2, *size)).astype("float32")
    label = np.zeros_like(x)
    for sample, centre in enumerate((0.4, 0.6)):
        grids = np.meshgrid(*[np.linspace(0, 1, n) for n in size], indexing="ij")
        label[sample] = sum((grid - centre) ** 2 for grid in grids) < 0.3**2
    return x + 0.2 * label, label


@pytest.mark.parametrize("stage", ["kidney", "tumor"])
def test_two_samples_are_learned_by_heart(stage):
    options = {"depth": 2, "base_filters": 8}
    if stage == "kidney":
        config = dataclasses.replace(preset("small", "kidney", "axial"), **options)
        x, label = planted((32, 32, 3))
        targets = {"label": label[..., 1:2], "slab": x}
    else:
        config = dataclasses.replace(preset("small", "tumor"), **options)
        x, label = (array[..., None] for array in planted((16, 16, 16)))
        targets = {"label": label, "image": x, "tumor_ml": np.array([3.0, 5.0], "float32")}
    history = overfit(config, x, targets, num_steps=100, learning_rate=1e-2, check_every=20, report=lambda line: None)
    first, last = history[0], history[-1]
    assert last["dice"] >= 0.99
    second = {"kidney": "reconstruction_loss", "tumor": "regression_loss"}[stage]
    assert last["cross_entropy"] < first["cross_entropy"] and last[second] < first[second]
