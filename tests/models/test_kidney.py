"""The kidney network is the method's table, level by level, and every option computes what it says."""

import pytest

from kits_tf.config import KidneyConfig, preset
from kits_tf.models import KidneyNetwork, build
from tests.models.harness import block_channels, check_every_size, check_formula, check_round_trip, random_input

# Channels at base 64: input, first and second convolution. The inverse of the pooling divides the last by four.
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
# Gates by hand, F channels under g channels: W_x 4 F F, W_g g F + F, psi F + 1, W F F, batch norm 4 F.
GATES = sum(4 * f * f + g * f + f + f + 1 + f * f + 4 * f for f, g in ((128, 512), (256, 1024), (512, 2048)))


def test_channels_parameters_and_gates_at_base_64():
    network = KidneyNetwork()
    assert {name: block_channels(network, name, 2) for name in TABLE} == TABLE
    blocks = sum(9 * (a * b + b * c) + 4 * (b + c) for a, b, c in TABLE.values())
    assert network.count_params() == blocks + GATES + 2 * 65 == 62_707_269
    assert not any(layer.use_bias for layer in network.layers if "_convolution_" in layer.name)
    names = sorted(layer.name for layer in network.layers if layer.name.startswith("gate_"))
    assert names == ["gate_1", "gate_2", "gate_3"]  # none on the finest skip
    for level, source in ((3, "bottom"), (2, "decoder_3"), (1, "decoder_2")):  # driven by features not yet recomposed
        features, gating = network.get_layer(f"gate_{level}").input
        assert features is network.get_layer(f"encoder_{level}_relu_1").output
        assert gating is network.get_layer(f"{source}_relu_1").output


def test_channels_with_pooling_by_maximum():
    """The U-Net of Ronneberger et al.: blocks to F, F; up-convolutions to F / 2."""
    network = KidneyNetwork(4, depth=3, pooling="max")
    found = [block_channels(network, name, 2) for name in ("encoder_1", "bottom", "decoder_2", "decoder_0")]
    assert found == [(4, 8, 8), (16, 32, 32), (32, 16, 16), (8, 4, 4)]
    assert tuple(network.get_layer("unpooling_2").kernel.shape) == (2, 2, 16, 32)


@pytest.mark.parametrize(
    "options",  # base filters, depth, pooling, attention, normalization, reconstruction
    [
        (3, 2, "polyphase", False, "group", "slab"),
        (1, 1, "polyphase", True, "batch", "centre"),
        (2, 4, "polyphase", True, "batch", "centre"),
        (3, 2, "haar", True, "group", "none"),
        (3, 2, "max", True, "batch", "slab"),
    ],
)
def test_every_option_agrees_with_numpy(options):
    check_formula(KidneyNetwork(*options), random_input(2, 2 * 2 ** options[1], 3 * 2 ** options[1], 3))


def test_one_graph_serves_every_size():
    check_every_size(KidneyNetwork(2, depth=2), (1, 4, 8, 3), (3, 12, 4, 3))
    fixed = KidneyNetwork(2, depth=2, size=(8, 12))
    assert KidneyNetwork.from_config(fixed.get_config()).input_shape == (None, 8, 12, 3)


@pytest.mark.parametrize("call", [lambda: KidneyNetwork(2)(random_input(1, 100, 100, 3)),
                                  lambda: KidneyNetwork(2).predict(random_input(1, 100, 100, 3), verbose=0),
                                  lambda: KidneyNetwork(2, size=(100, 100))])  # fmt: skip
def test_sizes_that_cannot_be_pooled_are_named(call):
    with pytest.raises(ValueError, match="height and width must be multiples of 16, got 100 x 100"):
        call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_filters": 0}, "base_filters must be a positive integer, got 0"),
        ({"depth": 1.5}, "depth must be a positive integer"),
        ({"normalization": "layer"}, "normalization must be 'batch' or 'group', got 'layer'"),
        ({"batch_norm_momentum": 1.0}, "batch_norm_momentum must be less than 1"),
        ({"attention": "cbam"}, "attention must be true or false"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        KidneyNetwork(**options)


@pytest.mark.parametrize("options", [{"pooling": "haar"}, {"pooling": "max", "attention": False, "name": "other"}])
def test_round_trip(options, tmp_path):
    check_round_trip(KidneyNetwork(2, depth=2, **options), random_input(1, 8, 4, 3), tmp_path)


def test_built_from_a_config():
    options = {"base_filters": 3, "depth": 2, "pooling": "haar", "attention": False, "normalization": "group",
               "reconstruction": "slab", "batch_norm_momentum": 0.5}  # fmt: skip
    assert options.items() <= build(KidneyConfig(**options)).get_config().items()
    assert build(preset("small", "kidney", "coronal")).get_config()["pooling"] == "max"


def test_momentum_reaches_every_normalization():
    network = KidneyNetwork(2, depth=2, batch_norm_momentum=0.625)
    layers = [layer for layer in network._flatten_layers() if hasattr(layer, "moving_mean")]
    assert len(layers) == 11 and {layer.momentum for layer in layers} == {0.625}
