"""Under `mixed_bfloat16` the networks keep float32 heads, stay finite and stay within 2e-2 of float32.

Logits are compared as probabilities: a number of 5 has steps of 0.03 in bfloat16, and features give it no better.
"""

import dataclasses

import keras
import numpy as np
import pytest

from kits_tf import geometry, models
from kits_tf.arrays import NumPy
from kits_tf.config import PRESETS, preset
from tests.models.harness import batch_of, four_configs, random_input


@pytest.fixture
def mixed_bfloat16():
    """The policy for what is built inside the test."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(("name", "second"), [("kidney_axial", "reconstruction"), ("tumor", "regression")])
def test_mixed_bfloat16_stays_close_to_float32(name, second, mixed_bfloat16):
    """Logits lie around 0, where probabilities tell most; the second head's output is no wider than 1."""
    config = four_configs()[name]
    x, targets, loss = batch_of(config)
    mixed = models.build(config)
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    full = models.build(config)
    full.get_layer("logits").bias.assign([0.0])
    head = full.get_layer(second)
    head.set_weights([value / max(1, np.ptp(full(x)[second])) for value in head.get_weights()])
    mixed.set_weights(full.get_weights())
    assert mixed.get_layer("bottom_convolution_0").compute_dtype == "bfloat16"
    assert all(variable.dtype == "float32" for variable in mixed.weights)

    expected, got = full(x), mixed(x)
    for key, value in got.items():
        assert keras.backend.standardize_dtype(value.dtype) == "float32" and np.all(np.isfinite(value))
        error = np.max(np.abs(value - expected[key]))
        assert 0 < error < 0.1 * np.ptp(expected[key])  # where outputs are small, 2e-2 would be a gift
    sigmoid = keras.ops.sigmoid
    np.testing.assert_allclose(sigmoid(got["logits"]), sigmoid(expected["logits"]), rtol=0, atol=2e-2)
    np.testing.assert_allclose(got[second], expected[second], rtol=0, atol=2e-2)
    total, terms = loss(targets, mixed(x, training=True), config)
    for value in (total, *terms.values()):
        assert keras.backend.standardize_dtype(value.dtype) == "float32" and np.isfinite(value)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(("stage", "size"), [("kidney", (8, 8, 3)), ("tumor", (8, 8, 8, 1))])
def test_the_ct_is_not_rounded_before_it_is_normalised(name, stage, size, mixed_bfloat16):
    """Sixty levels of 1 HU stay sixty; rounded to bfloat16, the paper's range would keep ten of them."""
    config = dataclasses.replace(preset(name, stage, "axial" if stage == "kidney" else None), base_filters=2, depth=1)
    network = models.build(config)
    first = keras.Model(network.input, network.get_layer("encoder_0_normalization_0").output)
    levels = geometry.scale(NumPy, np.arange(20, 80), config.clip_hu)
    images = np.repeat(random_input(1, *size), 60, axis=0)  # group normalization takes the level of a plain image away
    images[(slice(None), *[slice(3, 6)] * (len(size) - 1))] = levels.reshape(60, *[1] * len(size))
    assert len(np.unique(first(images)[(slice(None), *[4] * (len(size) - 1), 0)])) == 60
