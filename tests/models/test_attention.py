"""The attention gate is Oktay's formula: checked against NumPy in two and three dimensions."""

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.models.attention import AttentionGate
from tests.models import reference
from tests.models.harness import check_layer_round_trip, random_input, randomise_after_call

SHAPES = [((2, 6, 4, 3), (2, 3, 2, 5)), ((2, 4, 2, 6, 3), (2, 2, 1, 3, 7))]


def inputs(shapes):
    return [random_input(*shape, seed=seed) - 0.5 for seed, shape in enumerate(shapes)]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_agrees_with_the_formula(shapes, normalization):
    x, g = inputs(shapes)
    gate = randomise_after_call(AttentionGate(normalization), x, g)
    np.testing.assert_allclose(gate(x, g), reference.gate(x, g, gate), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shapes", SHAPES)
def test_weights_are_those_of_the_formula(shapes):
    x, g = inputs(shapes)
    gate = randomise_after_call(AttentionGate(), x, g)
    rank, channels, gating = x.ndim - 2, x.shape[-1], g.shape[-1]
    assert {v.path.split("/", 1)[1]: tuple(v.shape) for v in gate.trainable_variables} == {
        "features_map/kernel": (
            *[2] * rank,
            channels,
            channels,
        ),  # kernel = stride = 2, F_int = channels of x, no bias
        "gating_map/kernel": (*[1] * rank, gating, channels),
        "gating_map/bias": (channels,),
        "score/kernel": (*[1] * rank, channels, 1),
        "score/bias": (1,),
        "output_map/kernel": (*[1] * rank, channels, channels),
        "norm/gamma": (channels,),
        "norm/beta": (channels,),
    }


def test_a_gate_shut_passes_nothing_and_an_open_one_everything():
    x, g = inputs(SHAPES[0])
    gate = randomise_after_call(AttentionGate(), x, g)
    for bias, alpha in ((-50, 0), (50, 1)):
        gate.score.bias.assign([bias])
        np.testing.assert_allclose(gate.coefficients(x, g), np.full((2, 6, 4, 1), alpha), atol=1e-6)


def test_momentum_reaches_the_normalisation():
    x, g = inputs(SHAPES[0])
    gate = AttentionGate(momentum=0.75)
    gate(x, g)
    before = gate.norm.moving_mean.numpy()
    gated = gate.output_map(tf.constant(x) * gate.coefficients(x, g))
    gate(x, g, training=True)
    expected = 0.75 * before + 0.25 * np.mean(gated, axis=(0, 1, 2))
    np.testing.assert_allclose(gate.norm.moving_mean, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shapes", SHAPES)
def test_round_trip_through_the_config(shapes):
    check_layer_round_trip(AttentionGate("group", momentum=0.5, name="gate"), *inputs(shapes))
