"""Proves which grids a tumor network's config takes, wherever it comes from: those that sub-blocks give back."""

import json

import numpy as np
import pytest

from kits_tf import config as configs
from kits_tf import kidney_crops
from kits_tf.arrays import NumPy
from kits_tf.config import TumorConfig, override, preset
from kits_tf.errors import InputError, UsageError


@pytest.mark.parametrize("blocks", ["split", "overlap", "polyphase"])
@pytest.mark.parametrize("grid", [0, 1, 2, 8, 14, 15, 16, 17, 18, 65, 97])
def test_a_grid_is_refused_where_its_sub_blocks_do_not_give_it_back(blocks, grid):
    if grid == 0 or gives_back(grid, blocks):
        assert TumorConfig(grid=grid, blocks=blocks).grid == grid
        return
    with pytest.raises(ValueError, match=f"^grid={grid}: takes"):
        TumorConfig(grid=grid, blocks=blocks)
    with pytest.raises(UsageError, match=f"^--set: grid={grid}: takes"):
        override(preset("paper", "tumor"), [f"grid={grid}", f"blocks={blocks}"])


def gives_back(grid, blocks):
    """Whether a cube is what its sub-blocks are joined to."""
    cube = np.arange(grid**3).reshape(grid, grid, grid)
    try:
        return np.array_equal(kidney_crops.join(NumPy, kidney_crops.split(NumPy, cube, blocks), blocks), cube)
    except ValueError:
        return False


@pytest.mark.parametrize(
    "assignment, told",
    [
        ("nonsense=3", "no such option; kits_tf/config.py lists them all"),
        ("nonsense", "no such option; kits_tf/config.py lists them all"),
        ("plane=axial", "plane is chosen by --plane"),
        ("bas_filter=3", "no such option; did you mean base_filters?"),
        ("patch_row=3", "no such option; did you mean patch_rows or patch_columns?"),
        ("grid=16", "grid is an option of the tumor network alone"),
        ("depth", "takes KEY=VALUE, such as depth=4"),
    ],
)
def test_what_is_no_option_is_one_line_with_the_nearest(assignment, told):
    with pytest.raises(UsageError) as caught:
        override(preset("paper", "kidney", "axial"), [assignment])
    assert str(caught.value) == f"--set: {assignment!r}: {told}"


def test_a_checkpoint_with_such_a_grid_is_named(tmp_path):
    configs.save(preset("small", "tumor"), tmp_path / "config.json")
    options = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(options | {"grid": 63}))
    with pytest.raises(InputError, match=r"config.json: is not a config of this program \(grid=63: takes an even"):
        configs.load(tmp_path / "config.json")
