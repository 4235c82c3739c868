"""The tumor network is a 3D U-Net with CBAM after every block, and every option computes what it says."""

import pytest

from kits_tf.config import TumorConfig
from kits_tf.models import TumorNetwork, build
from tests.models.harness import block_channels, check_every_size, check_formula, check_round_trip, random_input

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
    assert {name: block_channels(network, name, 3) for name in TABLE} == TABLE
    for name in TABLE:
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
    "options",  # base filters, depth, attention, normalization, regression
    [
        (1, 1, "cbam", "batch", "intensity"),
        (3, 2, "cbam", "group", "signed_distance"),
        (3, 2, "gate", "batch", "signed_distance"),
        (2, 3, "both", "group", "intensity"),
        (3, 2, "none", "batch", "tumor_intensity"),
    ],
)
def test_every_option_agrees_with_numpy(options):
    size = 2 ** options[1]
    check_formula(TumorNetwork(*options), 20 * random_input(2, 2 * size, size, size, 1))  # so that the tanh shows


def test_one_graph_serves_every_size_that_divides():
    network = TumorNetwork(2, depth=2)
    check_every_size(network, (1, 4, 8, 4, 1), (2, 12, 4, 8, 1))
    with pytest.raises(ValueError, match="depth, height and width must be multiples of 4, got 4 x 8 x 10"):
        network(random_input(1, 4, 8, 10, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": True}, "attention must be 'cbam' or 'gate' or 'both' or 'none', got True"),
        ({"size": (96, 48, 44)}, "must be multiples of 8, got 96 x 48 x 44"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TumorNetwork(**options)


def test_round_trip(tmp_path):
    network = TumorNetwork(2, depth=2, attention="both", normalization="group", name="other")
    check_round_trip(network, random_input(1, 4, 8, 4, 1), tmp_path)


def test_built_from_a_config():
    options = {"base_filters": 3, "depth": 2, "attention": "both", "normalization": "group",
               "regression": "signed_distance", "batch_norm_momentum": 0.5}  # fmt: skip
    assert options.items() <= build(TumorConfig(**options)).get_config().items()
