"""The tumor network is a 3D U-Net with CBAM after every block, and every option computes what it says."""

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.config import TumorConfig
from kits_tf.models import TumorNetwork, build
from tests.models import reference
from tests.models.harness import arrays, check_round_trip, random_input, randomise

TABLE = {  # channels at base 32: input, first and second convolution
    "encoder_0": (1, 32, 32),
    "encoder_1": (32, 64, 64),
    "encoder_2": (64, 128, 128),
    "bottom": (128, 256, 256),
    "decoder_2": (256, 128, 128),
    "decoder_1": (128, 64, 64),
    "decoder_0": (64, 32, 32),
}


def test_channels_parameters_and_cbams_at_base_32():
    network = TumorNetwork()
    for name, (before, first, second) in TABLE.items():
        kernels = [network.get_layer(f"{name}_convolution_{index}").kernel.shape for index in (0, 1)]
        assert [tuple(kernel[3:]) for kernel in kernels] == [(before, first), (first, second)]
        assert network.get_layer(f"{name}_cbam").input is network.get_layer(f"{name}_relu_1").output
    blocks = sum(27 * (a * b + b * c) + 4 * (b + c) for a, b, c in TABLE.values())
    unpooling = sum(8 * c * c // 2 + c // 2 for c in (256, 128, 64))
    # CBAM of C channels: hidden h = C / 16: 2 C h + h + C; 7^3 * 2 + 4 for the spatial attention
    cbams = sum(2 * c * (c // 16) + c // 16 + c + 690 for _, _, c in TABLE.values())
    assert network.count_params() == blocks + unpooling + cbams + 2 * 33 == 5_623_116


@pytest.mark.parametrize("attention", ["gate", "both"])
def test_gates_stand_on_every_skip_but_the_finest(attention):
    network = TumorNetwork(2, attention=attention)
    names = sorted(layer.name for layer in network.layers if layer.name.startswith("gate_"))
    assert names == ["gate_1", "gate_2"]
    last = "cbam" if attention == "both" else "relu_1"
    assert network.get_layer("joined_0").input[0] is network.get_layer(f"encoder_0_{last}").output
    assert network.get_layer("gate_2").input[1] is network.get_layer(f"bottom_{last}").output


@pytest.mark.parametrize(
    ("attention", "normalization", "regression", "base_filters", "depth"),
    [
        ("cbam", "batch", "intensity", 3, 2),
        ("cbam", "batch", "intensity", 1, 1),
        ("cbam", "group", "signed_distance", 3, 2),
        ("gate", "batch", "signed_distance", 3, 2),
        ("both", "group", "intensity", 2, 3),
        ("none", "batch", "tumor_intensity", 3, 2),
    ],
)
def test_every_option_agrees_with_numpy(attention, normalization, regression, base_filters, depth):
    network = randomise(TumorNetwork(base_filters, depth, attention, normalization, regression))
    x = 20 * random_input(2, 2 ** (depth + 1), 2**depth, 2**depth, 1)  # large enough for the tanh to show
    expected = reference.tumor_outputs(network, x, attention, regression, depth)
    outputs = arrays(network(x))
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-3, atol=1e-4)


def test_one_graph_serves_every_size_that_divides():
    network = randomise(TumorNetwork(2, depth=2))
    forward = tf.function(network, input_signature=[tf.TensorSpec((None, None, None, None, 1))])
    for shape in ((1, 4, 8, 4, 1), (2, 12, 4, 8, 1)):
        x = random_input(*shape)
        np.testing.assert_allclose(forward(x)["logits"], network(x)["logits"], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="depth, height and width must be multiples of 4, got 4 x 8 x 10"):
        network(random_input(1, 4, 8, 10, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": True}, "attention must be 'cbam' or 'gate' or 'both' or 'none', got True"),
        ({"regression": "distance"}, "regression must be 'intensity'"),
        ({"size": (96, 48, 44)}, "must be multiples of 8, got 96 x 48 x 44"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TumorNetwork(**options)


@pytest.mark.parametrize("options", [{}, {"attention": "both", "normalization": "group", "name": "other"}])
def test_round_trip(options, tmp_path):
    check_round_trip(TumorNetwork(2, depth=2, **options), random_input(1, 4, 8, 4, 1), tmp_path)


def test_built_from_a_config():
    options = {"base_filters": 3, "depth": 2, "attention": "both", "normalization": "group",
               "regression": "signed_distance", "batch_norm_momentum": 0.5}  # fmt: skip
    assert options.items() <= build(TumorConfig(**options)).get_config().items()
