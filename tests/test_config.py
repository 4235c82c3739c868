"""Configs: which options and sizes are refused, and with which words; files of other versions."""

import pickle

import numpy as np
import pytest

from kits_tf import config as configs
from kits_tf import kidney_crops
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES, PRESETS, TumorConfig, check_sizes, override, preset
from kits_tf.errors import InputError, UsageError


@pytest.mark.parametrize("blocks", ["split", "overlap", "polyphase", "none"])
@pytest.mark.parametrize("grid", [0, 1, 2, 8, 14, 15, 16, 17, 18, 65, 97])
def test_a_grid_is_refused_where_its_sub_blocks_do_not_give_it_back(blocks, grid):
    if grid == 0 or gives_back(grid, blocks):
        assert TumorConfig(grid=grid, blocks=blocks).grid == grid
        return
    with pytest.raises(ValueError, match=f"^grid must be .* got {grid}$"):
        TumorConfig(grid=grid, blocks=blocks)
    with pytest.raises(UsageError, match="^--set: grid must be"):
        override(preset("paper", "tumor"), [f"grid={grid}", f"blocks={blocks}"])


def test_an_error_names_the_option_also_in_another_process():
    with pytest.raises(UsageError) as caught:
        override(preset("paper", "tumor"), ["grid=17"])
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.flag, error.reason.option, str(error)) == ("set", "grid", str(caught.value))


def gives_back(grid, blocks):
    """Whether a cube is what its sub-blocks are joined to."""
    cube = np.arange(grid**3).reshape(grid, grid, grid)
    try:
        return np.array_equal(kidney_crops.join(NumPy, kidney_crops.split(NumPy, cube, blocks), blocks), cube)
    except ValueError:
        return False


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("nonsense=3", "'nonsense=3': no such option; --list_options"),
        ("plane=axial", "plane is set by --plane"),
        ("bas_filter=3", "did you mean base_filters?"),
        ("grid=16", "grid is an option of the tumor network only"),
        ("depth", "'depth' must be KEY=VALUE, such as depth=4"),
        ("depth=two", "depth must be a positive integer, got 'two'"),
        ("depth=0", "depth must be a positive integer, got 0"),
        ("overlap=-1", "overlap must be a non-negative integer, got -1"),
        ("learning_rate=nan", "learning_rate must be a positive number, got nan"),
        ("augment=maybe", "augment must be true or false, got 'maybe'"),
        ("pooling=mean", "pooling must be 'polyphase' or 'haar' or 'max', got 'mean'"),
        ("max_scaling=1", "max_scaling must be less than 1, got 1.0"),
        ("min_agreement=1.5", "min_agreement must be at most 1, got 1.5"),
        ("accumulation=3", "accumulation must be a divisor of batch_size=8, got 3"),
        ("patience=3", "validate_every must be positive"),
        ("clip_low_hu=3000", "clip_low_hu must be less than 2125, got 3000"),
    ],
)
def test_bad_options_are_named_in_one_line(assignment, message):
    with pytest.raises(UsageError) as caught:
        override(preset("paper", "kidney", "axial"), [assignment])
    assert str(caught.value).startswith("--set: ") and message in str(caught.value)


def test_values_are_parsed_as_their_options_type():
    config = override(preset("paper", "kidney", "axial"), ["clip_low_hu=-200", "augment=FALSE", "depth=3"])
    assert (config.clip_low_hu, config.augment, config.depth) == (-200.0, False, 3)


def test_a_distance_that_does_not_fit_its_storage_is_refused():
    with pytest.raises(ValueError, match="max_distance_mm must be at most"):
        TumorConfig(regression="signed_distance", max_distance_mm=300.0)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_can_be_saved_trained_and_read(name, tmp_path):
    for config in [preset(name, "tumor"), *(preset(name, "kidney", plane) for plane in PLANES)]:
        check_sizes(config)
        configs.save(config, tmp_path / "config.json")
        assert configs.load(tmp_path / "config.json") == config


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("side", ["rows", "columns", "slices"])
def test_the_sides_of_a_planes_patch_must_be_pooled(plane, side):
    config = override(preset("paper", "kidney", plane), [f"patch_{side}=100"])
    unused = {"axial": "slices", "coronal": "rows", "sagittal": "columns"}
    if unused[plane] == side:
        check_sizes(config)
        return
    with pytest.raises(UsageError, match=rf"--set: patch_{side} must be a multiple of 2\*\*depth = 16, got 100"):
        check_sizes(config)


@pytest.mark.parametrize(
    "text", ['{"stage": "kidney", "grid": 3}', '{"stage": "tumor", "grid": 63}', '{"stage": "other"}', "{}", "no json"]
)
def test_a_file_that_is_no_config_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config.json: is not a valid config"):
        configs.load(tmp_path / "config.json")
