"""Proves the moving average of weights against the recursion written out in NumPy."""

import keras
import numpy as np
import pytest

from kits_tf.training.average import Average


@pytest.fixture(name="model")
def small_model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])


def test_the_average_follows_its_recursion(model):
    average = Average(model, 0.6)
    expected = model.layers[0].kernel.numpy().astype(np.float64)
    for step in range(1, 30):
        model.layers[0].kernel.assign(np.full((3, 2), np.sin(step)))
        average.update(step)
        decay = min(0.6, (1 + step) / (10 + step))  # 2 / 11 after the first step, 0.6 from the twelfth on
        expected = decay * expected + (1 - decay) * np.sin(step)
    weights = average.weights()
    np.testing.assert_allclose(weights[0], expected, rtol=1e-6)
    assert not np.allclose(weights[0], model.get_weights()[0], rtol=1e-2)


def test_moving_statistics_are_taken_as_they_are(model):
    average = Average(model, 0.6)
    model.layers[1].moving_mean.assign([5.0, 7.0])
    average.update(1)
    assert any(np.array_equal(weight, [5.0, 7.0]) for weight in average.weights())


def test_without_a_decay_the_weights_stand_for_it(model):
    average = Average(model, 0.0)
    average.update(1)
    assert average.values == []
    for found, expected in zip(average.weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
