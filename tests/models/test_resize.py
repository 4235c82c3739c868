"""Linear upsampling agrees with interpolation by NumPy, keeps ramps and constants, and serves open sizes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kits_tf.models.resize import LinearUpsampling
from tests.models import reference
from tests.models.harness import check_layer_round_trip, random_input


def test_one_row_by_hand():
    row = np.array([0.0, 4.0, 8.0], "float32").reshape(1, 1, 3, 1)
    got = LinearUpsampling()(row)
    np.testing.assert_array_equal(got[0, :, :, 0], [[0, 1, 3, 5, 7, 8]] * 2)


@pytest.mark.parametrize("shape", [(2, 3, 4, 1), (1, 1, 5, 2), (2, 3, 4, 5, 1), (1, 2, 1, 3, 2)])
def test_agrees_with_interpolation_axis_by_axis(shape):
    x = random_input(*shape)
    np.testing.assert_allclose(LinearUpsampling()(x), reference.upsample(x), rtol=0, atol=1e-6)


def test_agrees_with_tensorflows_resize():
    x = random_input(2, 5, 7, 3)
    np.testing.assert_allclose(LinearUpsampling()(x), tf.image.resize(x, (10, 14)), rtol=0, atol=1e-6)


def test_sizes_may_be_open():
    inputs = keras.Input((None, None, None, 1))
    model = keras.Model(inputs, LinearUpsampling()(inputs))
    assert model.output_shape == (None, None, None, None, 1)
    upsample = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, None, 1))])
    for shape in ((1, 2, 3, 4, 1), (2, 5, 1, 3, 1)):
        x = random_input(*shape)
        np.testing.assert_allclose(upsample(x), reference.upsample(x), rtol=0, atol=1e-6)


def test_round_trip_through_the_config():
    check_layer_round_trip(LinearUpsampling(name="twice"), random_input(1, 2, 3, 1))
