"""Under `mixed_bfloat16` the networks keep float32 heads, stay finite and stay within 2e-2 of float32.

Outputs of fresh weights in inference mode; those beyond 1 are compared as shares of the largest.
"""

import keras
import numpy as np
import pytest

from kits_tf import models
from tests.models.four import batch_of, four_configs


@pytest.fixture
def mixed_bfloat16():
    """The policy for what is built inside the test."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


CONFIGS = four_configs()


@pytest.mark.parametrize("name", ["kidney_axial", "kidney_coronal", "tumor"])  # sagittal is built as coronal is
def test_mixed_bfloat16_stays_close_to_float32(name, mixed_bfloat16):
    config = CONFIGS[name]
    x, targets, loss = batch_of(config)
    mixed = models.build(config)
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    full = models.build(config)
    mixed.set_weights(full.get_weights())
    assert mixed.get_layer("bottom_convolution_0").compute_dtype == "bfloat16"
    assert all(variable.dtype == "float32" for variable in mixed.weights)

    expected, got = full(x), mixed(x)
    for key, value in got.items():
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        error, largest = np.max(np.abs(value - expected[key])), np.max(np.abs(expected[key]))
        assert error < 2e-2 * max(1, largest)
        assert error < 0.1 * largest  # where outputs are small, the bound above would be a gift
    np.testing.assert_allclose(sigmoid(got["logits"]), sigmoid(expected["logits"]), rtol=0, atol=2e-2)
    total, terms = loss(targets, mixed(x, training=True), config)
    for value in (total, *terms.values()):
        assert keras.backend.standardize_dtype(value.dtype) == "float32" and np.isfinite(value)
