"""Each layer is its paper's formula, in NumPy and in two and three dimensions; lossless pooling loses nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kits_tf.models import CBAM, AttentionGate, HaarPooling, HaarUnpooling, PolyphasePooling, PolyphaseUnpooling
from kits_tf.models.layers import OPEN, SlicewiseConvolution3D, normalization_layer, upsample_linear
from tests.models import reference
from tests.models.harness import check_every_size, check_round_trip, random_input, randomise

PAIRS = {"polyphase": (PolyphasePooling, PolyphaseUnpooling, 0), "haar": (HaarPooling, HaarUnpooling, 1e-6)}
GATE_SHAPES = [((2, 6, 4, 3), (2, 3, 2, 5)), ((2, 4, 2, 6, 3), (2, 2, 1, 3, 7))]
CBAM_SHAPES = [(2, 9, 4, 32), (2, 3, 8, 5, 32)]


def signal(shape, seed=1):
    """White noise of both signs."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def called(layer, *inputs):
    """The layer with random weights."""
    layer(*inputs)
    return randomise(layer)


@pytest.mark.parametrize("kind", PAIRS)
def test_lossless_pooling_keeps_energy_and_its_adjoint_is_its_inverse(kind):
    """|Phi^T f|^2 = |f|^2 for the pooling and for its gradient, which undoes it: both frame bounds are 1."""
    pooling, unpooling, tolerance = PAIRS[kind][0](), PAIRS[kind][1](), PAIRS[kind][2]
    for height, width in ((2, 2), (2, 10), (12, 6)):
        x = tf.constant(signal((1, height, width, 3)))
        with tf.GradientTape() as tape:
            tape.watch(x)
            pooled = pooling(x)
        direction = tf.constant(signal(tuple(pooled.shape), seed=2))
        adjoint = tape.gradient(pooled, x, output_gradients=direction)
        np.testing.assert_allclose(pooled, reference.pool(np.asarray(x), kind), rtol=0, atol=1e-6)
        np.testing.assert_allclose(unpooling(pooled), x, rtol=0, atol=tolerance)
        np.testing.assert_allclose(adjoint, unpooling(direction), rtol=0, atol=tolerance)
        for image, source in ((pooled, x), (adjoint, direction)):
            assert np.sum(np.square(image)) == pytest.approx(np.sum(np.square(source)), rel=1e-5)


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("size", [(None, None), (None, 6), (4, 10)])
def test_symbolic_pooling_runs_no_operation(kind, size, monkeypatch):
    """A backend that traces an unknown size as some number, which may be odd, could not pool it."""
    for name in ("space_to_depth", "depth_to_space"):
        monkeypatch.setattr(keras.ops, name, lambda *_, **__: pytest.fail("it runs"))
    x = keras.Input((*size, 3))
    pooled = PAIRS[kind][0]()(x)
    assert pooled.shape == (None, *(length and length // 2 for length in size), 12)
    assert PAIRS[kind][1]()(pooled).shape == x.shape


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x: HaarUnpooling()(HaarPooling()(x)), [(1, 2, 4, 3), (2, 10, 6, 3)]),
        (upsample_linear, [(1, 2, 3, 4, 1), (2, 5, 1, 3, 1)]),
        (SlicewiseConvolution3D(1, 7, padding="same", use_bias=False), [(1, 3, 4, 5, 2), (2, 19, 3, 2, 2)]),
    ],
)
def test_sizes_may_be_unknown(function, shapes):
    check_every_size(function, *shapes)


@pytest.mark.parametrize("shape", [(2, 3, 4, 1), (1, 1, 5, 2), (2, 3, 4, 5, 1), (1, 2, 1, 3, 2)])
def test_upsampling_is_linear_interpolation(shape):
    x = random_input(*shape)
    np.testing.assert_allclose(upsample_linear(x), reference.upsample(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("size", "shape"), [(7, (2, 6, 5, 4, 2)), (7, (1, 17, 8, 9, 3)), (3, (2, 1, 4, 4, 1))])
def test_the_slicewise_convolution_is_that_of_keras(size, shape):
    x, options = tf.constant(signal(shape)), {"padding": "same", "use_bias": False}
    slicewise, plain = SlicewiseConvolution3D(1, size, **options), keras.layers.Conv3D(1, size, **options)
    for layer in (slicewise, plain):
        layer.build(shape)
    plain.set_weights(randomise(slicewise).get_weights())
    results = []
    for layer in (slicewise, plain):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.square(y))
        results.append([y, *tape.gradient(loss, [x, layer.kernel.value])])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels, groups", [(1, 1), (12, 1), (16, 2), (44, 4), (512, 64), (23, 1)])
def test_groups_hold_eight_channels_where_they_can(channels, groups):
    assert normalization_layer("group", channels, 0.9).groups == groups


@pytest.mark.parametrize("normalization", ["batch", "group"])
@pytest.mark.parametrize("shapes", GATE_SHAPES)
def test_the_attention_gate_is_the_formula(shapes, normalization):
    x, g = (signal(shape) for shape in shapes)
    gate = called(AttentionGate(normalization), x, g)
    np.testing.assert_allclose(gate(x, g), reference.gate(x, g, gate), rtol=0, atol=1e-5)
    with_bias = [gate.features_map.use_bias, gate.gating_map.use_bias, gate.score.use_bias, gate.output_map.use_bias]
    assert with_bias == [False, True, True, False]
    for bias, alpha in ((-50, 0), (50, 1)):
        gate.score.bias.assign([bias])
        np.testing.assert_allclose(gate.coefficients(x, g), np.full((*shapes[0][:-1], 1), alpha), atol=1e-6)


@pytest.mark.parametrize("normalization", ["batch", "group"])
@pytest.mark.parametrize("shape", CBAM_SHAPES)
def test_cbam_is_the_formula(shape, normalization):
    x = signal(shape)
    layer = called(CBAM(16, normalization), x)
    np.testing.assert_allclose(layer(x), reference.cbam(x, layer), rtol=0, atol=1e-5)
    assert tuple(layer.spatial.scores.kernel.shape) == (*[7] * (len(shape) - 2), 2, 1)


@pytest.mark.parametrize(("channels", "hidden"), [(1, 1), (31, 1), (32, 2), (256, 16)])
def test_cbam_starts_nearly_open_and_its_mlp_has_one_hidden_unit_for_16_channels(channels, hidden):
    layer = CBAM()
    layer.build((1, 4, 4, channels))
    assert np.all(layer.channel.scores.bias * 2 == OPEN) and layer.spatial.norm.beta == OPEN
    shapes = [tuple(weight.shape) for weight in layer.channel.weights]
    assert shapes == [(channels, hidden), (hidden,), (hidden, channels), (channels,)]


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (PolyphasePooling(), [(4, 4, 2)]),
        (HaarUnpooling(), [(4, 4, 8)]),
        (AttentionGate("group", momentum=0.5), [(6, 4, 3), (3, 2, 5)]),
        (CBAM(8, "group", momentum=0.5), [(3, 4, 5, 32)]),
    ],
)
def test_layers_survive_saving(layer, shapes, tmp_path):
    tensors = [keras.Input(shape) for shape in shapes]
    model = keras.Model(tensors, layer(*tensors))
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    check_round_trip(model, [random_input(2, *shape) for shape in shapes], tmp_path)
