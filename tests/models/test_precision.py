"""Under `mixed_bfloat16` the networks keep float32 heads, stay finite and stay within 2e-2 of float32.

Fresh weights in inference mode. Probabilities are compared as they are, logits and intensities as shares of their
range where that is wider than 1.
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
        error, width = np.max(np.abs(value - expected[key])), np.ptp(expected[key])
        assert error < 2e-2 * max(1, width)
        assert error < 0.1 * width  # where outputs are small, the bound above would be a gift
    np.testing.assert_allclose(sigmoid(got["logits"]), sigmoid(expected["logits"]), rtol=0, atol=2e-2)
    total, terms = loss(targets, mixed(x, training=True), config)
    for value in (total, *terms.values()):
        assert keras.backend.standardize_dtype(value.dtype) == "float32" and np.isfinite(value)
