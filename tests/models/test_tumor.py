"""The tumor network is a 3D U-Net with CBAM after every block, and every option computes what it says.

By hand at base 32 and depth 3, 27 weights a channel pair and kernel, 4 numbers a channel for batch normalisation:

    encoder_0  27 (1*32 + 32*32)        =    28 512    4 * 64  =   256
    encoder_1  27 (32*64 + 64*64)       =   165 888    4 * 128 =   512
    encoder_2  27 (64*128 + 128*128)    =   663 552    4 * 256 = 1 024
    bottom     27 (128*256 + 256*256)   = 2 654 208    4 * 512 = 2 048
    decoder_2  27 (256*128 + 128*128)   = 1 327 104    4 * 256 = 1 024
    decoder_1  27 (128*64 + 64*64)      =   331 776    4 * 128 =   512
    decoder_0  27 (64*32 + 32*32)       =    82 944    4 * 64  =   256
    sum                                   5 253 984              5 632
    up-convolutions 8 C C/2 + C/2, C = 256, 128, 64: 262 272 + 65 600 + 16 416 = 344 288
    CBAM of C channels: hidden h = C / 16: 2 C h + h + C, and 7**3 * 2 + 4 = 690 for the spatial one
        C 32: 162 + 690, twice; C 64: 580 + 690, twice; C 128: 2 184 + 690, twice; C 256: 8 464 + 690
        = 1 704 + 2 540 + 5 748 + 9 154 = 19 146
    heads: 33 each
"""

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.config import TumorConfig
from kits_tf.models import TumorNetwork, build
from tests.models import reference
from tests.models.harness import arrays, check_network_round_trip, random_input, randomise

PARAMETERS = 5_253_984 + 5_632 + 344_288 + 19_146 + 2 * 33
BLOCKS = [f"encoder_{n}" for n in range(3)] + ["bottom"] + [f"decoder_{n}" for n in range(3)]


@pytest.fixture(scope="module")
def paper_network():
    return TumorNetwork()


def test_channels_at_base_32(paper_network):
    kernels = {
        name: tuple(
            tuple(paper_network.get_layer(f"{name}_convolution_{index}").kernel.shape[-2:]) for index in (0, 1)
        )
        for name in BLOCKS
    }
    assert kernels == {
        "encoder_0": ((1, 32), (32, 32)),
        "encoder_1": ((32, 64), (64, 64)),
        "encoder_2": ((64, 128), (128, 128)),
        "bottom": ((128, 256), (256, 256)),
        "decoder_2": ((256, 128), (128, 128)),
        "decoder_1": ((128, 64), (64, 64)),
        "decoder_0": ((64, 32), (32, 32)),
    }


def test_parameters_at_base_32(paper_network):
    assert paper_network.count_params() == PARAMETERS == 5_623_116


def test_a_cbam_follows_every_block(paper_network):
    for name in BLOCKS:
        assert paper_network.get_layer(f"{name}_cbam").input is paper_network.get_layer(f"{name}_relu_1").output


@pytest.mark.parametrize("attention", ["gate", "both"])
def test_gates_stand_on_every_skip_but_the_finest(attention):
    network = TumorNetwork(2, attention=attention)
    names = sorted(layer.name for layer in network.layers if layer.name.startswith("gate_"))
    assert names == ["gate_1", "gate_2"]
    last = "cbam" if attention == "both" else "relu_1"
    assert network.get_layer("joined_0").input[0] is network.get_layer(f"encoder_0_{last}").output
    assert network.get_layer("gate_2").input[1] is network.get_layer(f"bottom_{last}").output


COMBINATIONS = [
    ("cbam", "batch", "intensity"),
    ("cbam", "group", "signed_distance"),
    ("gate", "batch", "signed_distance"),
    ("both", "group", "intensity"),
    ("none", "batch", "tumor_intensity"),
]


@pytest.mark.parametrize(("attention", "normalization", "regression"), COMBINATIONS)
def test_every_option_agrees_with_numpy(attention, normalization, regression):
    network = randomise(TumorNetwork(3, 2, attention, normalization, regression))
    x = random_input(2, 8, 4, 4, 1)
    expected = reference.tumor_outputs(network, x, attention, regression, depth=2)
    outputs = arrays(network(x))
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("base_filters", "depth"), [(1, 1), (2, 3)])
def test_width_and_depth(base_filters, depth):
    network = randomise(TumorNetwork(base_filters, depth))
    x = random_input(1, 2 ** (depth + 1), 2**depth, 2**depth, 1)
    expected = reference.tumor_outputs(network, x, "cbam", "intensity", depth)
    np.testing.assert_allclose(network(x)["logits"], expected["logits"], rtol=1e-3, atol=1e-4)


def test_sizes_may_be_open_but_must_divide():
    network = randomise(TumorNetwork(2, depth=2))
    assert network.input_shape == (None, None, None, None, 1)
    forward = tf.function(network, input_signature=[tf.TensorSpec((None, None, None, None, 1))])
    for shape in ((1, 4, 8, 4, 1), (2, 12, 4, 8, 1)):
        x = random_input(*shape)
        np.testing.assert_allclose(forward(x)["logits"], network(x)["logits"], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"input size \(4, 8, 10\): .* takes multiples of 4"):
        network(random_input(1, 4, 8, 10, 1))


@pytest.mark.parametrize("options", [{}, {"attention": "both", "normalization": "group", "name": "other"}])
def test_round_trip(options, tmp_path):
    check_network_round_trip(TumorNetwork(2, depth=2, **options), random_input(1, 4, 8, 4, 1), tmp_path)


def test_built_from_a_config():
    config = TumorConfig(
        base_filters=3, depth=2, attention="both", normalization="group", regression="signed_distance",
        batch_norm_momentum=0.5,
    )  # fmt: skip
    options = build(config).get_config()
    for name in ("base_filters", "depth", "attention", "normalization", "regression", "batch_norm_momentum"):
        assert options[name] == getattr(config, name)
