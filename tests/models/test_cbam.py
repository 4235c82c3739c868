"""CBAM is Woo's formula, checked against NumPy in 2D and 3D; sigmoid after the sum, one hidden unit at least."""

import numpy as np
import pytest

from kits_tf.models.cbam import CBAM, ChannelAttention, SpatialAttention
from tests.models import reference
from tests.models.harness import check_layer_round_trip, random_input, randomise_after_call

SHAPES = [(2, 9, 4, 32), (2, 3, 8, 5, 32)]


def features(shape):
    return 2 * random_input(*shape) - 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_agrees_with_the_formula(shape, normalization):
    x = features(shape)
    layer = randomise_after_call(CBAM(16, normalization), x)
    np.testing.assert_allclose(layer(x), reference.cbam(x, layer), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_channel_attention_agrees_with_the_formula(shape):
    x = features(shape)
    layer = randomise_after_call(ChannelAttention(4), x)
    np.testing.assert_allclose(layer(x), reference.channel_attention(x, layer), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_spatial_attention_agrees_with_the_formula(shape):
    x = features(shape)
    layer = randomise_after_call(SpatialAttention(), x)
    np.testing.assert_allclose(layer(x), reference.spatial_attention(x, layer), rtol=0, atol=1e-5)
    assert tuple(layer.scores.kernel.shape) == (*[7] * (len(shape) - 2), 2, 1) and not layer.scores.use_bias


def test_the_sigmoid_comes_after_the_sum():
    """With scores of 1 for mean and maximum alike the weight is sigmoid(2), not 2 sigmoid(1)."""
    x = features((1, 2, 2, 3))
    layer = ChannelAttention()
    layer(x)
    for variable in layer.weights:
        variable.assign(np.zeros(variable.shape))
    layer.scores.bias.assign(np.ones(3))
    np.testing.assert_allclose(layer.weights_of(x), np.full((1, 1, 1, 3), 1 / (1 + np.exp(-2))), rtol=1e-6)


@pytest.mark.parametrize(("channels", "hidden"), [(1, 1), (8, 1), (16, 1), (31, 1), (32, 2), (256, 16)])
def test_hidden_width(channels, hidden):
    layer = ChannelAttention()
    layer.build((None, None, None, channels))
    assert tuple(layer.hidden.kernel.shape) == (channels, hidden)
    assert tuple(layer.scores.kernel.shape) == (hidden, channels)


def test_the_mlp_is_shared():
    layer = ChannelAttention()
    layer.build((None, None, None, 32))
    assert len(layer.weights) == 4


@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip_through_the_config(shape):
    check_layer_round_trip(CBAM(8, "group", momentum=0.5, name="cbam"), features(shape))
    check_layer_round_trip(ChannelAttention(4), features(shape))
    check_layer_round_trip(SpatialAttention(momentum=0.5), features(shape))
