"""Normalisation layers: group sizes by hand, statistics by NumPy."""

import numpy as np
import pytest

from kits_tf.models.blocks import normalization_layer
from tests.models import reference
from tests.models.harness import random_input, randomise_after_call


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (2, 1), (8, 1), (12, 1), (16, 2), (44, 4), (64, 8), (512, 64), (23, 1)]
)
def test_groups_hold_eight_channels_where_they_can(channels, groups):
    assert normalization_layer("group", channels, 0.9).groups == groups


@pytest.mark.parametrize("kind", ["batch", "group"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 16), (2, 3, 4, 2, 16)])
def test_agrees_with_the_formula(kind, shape):
    x = random_input(*shape)
    layer = randomise_after_call(normalization_layer(kind, 16, 0.9), x)
    np.testing.assert_allclose(layer(x), reference.normalise(x, layer), rtol=0, atol=1e-5)


def test_batch_statistics_in_training():
    x = 3 + 2 * random_input(4, 6, 6, 2)
    layer = normalization_layer("batch", 2, 0.75)
    y = np.asarray(layer(x, training=True))
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1, atol=1e-3)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * x.mean(axis=(0, 1, 2)), rtol=1e-5)
