"""The kidney network is the method's table, level by level, and every option computes what it says.

The table at base 64, with C the channels of a level's features (F) and 4 F' what the next finer level recomposes:

    level   encoder              decoder
    0       3 -> 64 -> 64        64 + 64 -> 64 -> 64
    1       256 -> 128 -> 128    128 + 128 -> 128 -> 256 (recomposed to 64)
    2       512 -> 256 -> 256    256 + 256 -> 256 -> 512 (to 128)
    3       1024 -> 512 -> 512   512 + 512 -> 512 -> 1024 (to 256)
    bottom  2048 -> 1024 -> 2048 (to 512)
"""

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.config import KidneyConfig, preset
from kits_tf.models import KidneyNetwork, build
from tests.models import reference
from tests.models.harness import arrays, check_network_round_trip, random_input, randomise

TABLE = {
    "encoder_0": (3, 64, 64),
    "encoder_1": (256, 128, 128),
    "encoder_2": (512, 256, 256),
    "encoder_3": (1024, 512, 512),
    "bottom": (2048, 1024, 2048),
    "decoder_3": (1024, 512, 1024),
    "decoder_2": (512, 256, 512),
    "decoder_1": (256, 128, 256),
    "decoder_0": (128, 64, 64),
}
# By hand: weights of the two 3 x 3 convolutions, then 4 numbers a channel for batch normalisation.
#   encoder_0  9 (3*64 + 64*64)           =     38 592    4 * 128  =    512
#   encoder_1  9 (256*128 + 128*128)      =    442 368    4 * 256  =  1 024
#   encoder_2  9 (512*256 + 256*256)      =  1 769 472    4 * 512  =  2 048
#   encoder_3  9 (1024*512 + 512*512)     =  7 077 888    4 * 1024 =  4 096
#   bottom     9 (2048*1024 + 1024*2048)  = 37 748 736    4 * 3072 = 12 288
#   decoder_3  9 (1024*512 + 512*1024)    =  9 437 184    4 * 1536 =  6 144
#   decoder_2  9 (512*256 + 256*512)      =  2 359 296    4 * 768  =  3 072
#   decoder_1  9 (256*128 + 128*256)      =    589 824    4 * 384  =  1 536
#   decoder_0  9 (128*64 + 64*64)         =    110 592    4 * 128  =    512
#   sum                                     59 573 952               31 232
# Heads: 65 each. Gates, F channels under g channels: W_x 4 F F, W_g g F + F, psi F + 1, W F F, batch norm 4 F.
#   gate_1  F 128, g 512:   65 536 +    65 664 + 129 +  16 384 +   512 =   148 225
#   gate_2  F 256, g 1024: 262 144 +   262 400 + 257 +  65 536 + 1 024 =   591 361
#   gate_3  F 512, g 2048: 1 048 576 + 1 049 088 + 513 + 262 144 + 2 048 = 2 362 369
BLOCKS_AND_HEADS = 59_573_952 + 31_232 + 2 * 65
GATES = 148_225 + 591_361 + 2_362_369


def block_channels(network, name):
    """(input, first, second) channels of a block's convolutions, read from their kernels."""
    kernels = [network.get_layer(f"{name}_convolution_{index}").kernel.shape for index in (0, 1)]
    assert all(tuple(kernel[:2]) == (3, 3) for kernel in kernels)
    assert kernels[0][3] == kernels[1][2]
    return (kernels[0][2], kernels[0][3], kernels[1][3])


@pytest.fixture(scope="module")
def paper_network():
    return KidneyNetwork()


def test_channels_at_base_64(paper_network):
    assert {name: block_channels(paper_network, name) for name in TABLE} == TABLE


def test_recomposed_channels_at_base_64(paper_network):
    shapes = {level: paper_network.get_layer(f"unpooling_{level}").output.shape[-1] for level in range(4)}
    assert shapes == {3: 512, 2: 256, 1: 128, 0: 64}
    joined = {level: paper_network.get_layer(f"joined_{level}").output.shape[-1] for level in range(4)}
    assert joined == {3: 1024, 2: 512, 1: 256, 0: 128}


def test_parameters_at_base_64(paper_network):
    assert paper_network.count_params() == BLOCKS_AND_HEADS + GATES == 62_707_269


def test_no_convolution_of_a_block_has_a_bias(paper_network):
    assert not any(layer.use_bias for layer in paper_network.layers if "_convolution_" in layer.name)


def test_gates_stand_on_every_skip_but_the_finest(paper_network):
    names = [layer.name for layer in paper_network.layers if layer.name.startswith("gate_")]
    assert sorted(names) == ["gate_1", "gate_2", "gate_3"]
    finest = paper_network.get_layer("joined_0").input[0]
    assert finest is paper_network.get_layer("encoder_0_relu_1").output


def test_gating_features_are_taken_before_recomposition(paper_network):
    for level, source in ((3, "bottom"), (2, "decoder_3"), (1, "decoder_2")):
        features, gating = paper_network.get_layer(f"gate_{level}").input
        assert features is paper_network.get_layer(f"encoder_{level}_relu_1").output
        assert gating is paper_network.get_layer(f"{source}_relu_1").output


def test_channels_with_pooling_by_maximum():
    """The U-Net of Ronneberger et al.: blocks to F, F; up-convolutions to F / 2."""
    network = KidneyNetwork(4, depth=3, pooling="max")
    assert {name: block_channels(network, name) for name in ("encoder_1", "bottom", "decoder_2", "decoder_0")} == {
        "encoder_1": (4, 8, 8),
        "bottom": (16, 32, 32),
        "decoder_2": (32, 16, 16),
        "decoder_0": (8, 4, 4),
    }
    assert tuple(network.get_layer("unpooling_2").kernel.shape) == (2, 2, 16, 32)


COMBINATIONS = [
    ("polyphase", True, "batch", "centre"),
    ("polyphase", False, "group", "slab"),
    ("haar", True, "group", "none"),
    ("haar", False, "batch", "centre"),
    ("max", True, "batch", "slab"),
    ("max", False, "group", "centre"),
]


@pytest.mark.parametrize(("pooling", "attention", "normalization", "reconstruction"), COMBINATIONS)
def test_every_option_agrees_with_numpy(pooling, attention, normalization, reconstruction):
    network = randomise(KidneyNetwork(3, 2, pooling, attention, normalization, reconstruction))
    x = random_input(2, 8, 12, 3)
    expected = reference.kidney_outputs(network, x, pooling, attention, reconstruction, depth=2)
    outputs = arrays(network(x))
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("base_filters", "depth"), [(1, 1), (2, 4)])
def test_width_and_depth(base_filters, depth):
    network = randomise(KidneyNetwork(base_filters, depth))
    x = random_input(1, 2**depth, 2 ** (depth + 1), 3)
    expected = reference.kidney_outputs(network, x, "polyphase", True, "centre", depth)
    np.testing.assert_allclose(network(x)["logits"], expected["logits"], rtol=1e-3, atol=1e-4)
    assert block_channels(network, "encoder_0") == (3, base_filters, base_filters)


def test_sizes_may_be_open_but_must_divide():
    network = randomise(KidneyNetwork(2, depth=2))
    assert network.input_shape == (None, None, None, 3)
    forward = tf.function(network, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for shape in ((1, 4, 8, 3), (3, 12, 4, 3)):
        x = random_input(*shape)
        np.testing.assert_allclose(forward(x)["logits"], network(x)["logits"], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"input size \(6, 8\): .* takes multiples of 4"):
        network(random_input(1, 6, 8, 3))


def test_fixed_size():
    network = KidneyNetwork(2, depth=2, size=(8, 12))
    assert network.get_layer("logits").output.shape == (None, 8, 12, 1)
    assert KidneyNetwork.from_config(network.get_config()).input_shape == (None, 8, 12, 3)


@pytest.mark.parametrize(
    "options",
    [{}, {"pooling": "haar"}, {"pooling": "max", "attention": False, "normalization": "group", "name": "other"}],
)
def test_round_trip(options, tmp_path):
    check_network_round_trip(KidneyNetwork(2, depth=2, **options), random_input(1, 8, 4, 3), tmp_path)


def test_built_from_a_config():
    config = KidneyConfig(
        base_filters=3, depth=2, pooling="haar", attention=False, normalization="group", reconstruction="slab",
        batch_norm_momentum=0.5,
    )  # fmt: skip
    options = build(config).get_config()
    for name in ("base_filters", "depth", "pooling", "attention", "normalization", "reconstruction"):
        assert options[name] == getattr(config, name)
    assert options["batch_norm_momentum"] == 0.5
    assert build(preset("small", "kidney", "coronal")).get_config()["pooling"] == "max"


def test_momentum_reaches_every_batch_normalisation():
    network = KidneyNetwork(2, depth=2, batch_norm_momentum=0.625)
    layers = [layer for layer in network._flatten_layers() if hasattr(layer, "moving_mean")]
    assert len(layers) == 11 and {layer.momentum for layer in layers} == {0.625}
