"""Proves which sizes are refused: what the network cannot pool."""

import pytest

from kits_tf.config import PLANES, PRESETS, check_sizes, override, preset
from kits_tf.errors import UsageError


@pytest.mark.parametrize("name", PRESETS)
def test_presets_pass(name):
    for plane in PLANES:
        check_sizes(preset(name, "kidney", plane))
    check_sizes(preset(name, "tumor"))


@pytest.mark.parametrize(
    "plane, assignment, refused",
    [
        ("axial", "patch_rows=100", True),
        ("coronal", "patch_rows=100", False),
        ("sagittal", "patch_rows=100", True),
        ("axial", "patch_columns=100", True),
        ("coronal", "patch_columns=100", True),
        ("sagittal", "patch_columns=100", False),
        ("axial", "patch_slices=100", False),
        ("coronal", "patch_slices=100", True),
        ("sagittal", "patch_slices=100", True),
    ],
)
def test_only_the_sides_of_the_planes_own_patch_count(plane, assignment, refused):
    config = override(preset("paper", "kidney", plane), [assignment])
    if not refused:
        check_sizes(config)
        return
    with pytest.raises(UsageError, match=rf"--set: {assignment}: takes a multiple of 2\*\*depth, here 2\*\*4"):
        check_sizes(config)


def test_a_deeper_network_needs_sides_of_its_own():
    with pytest.raises(UsageError, match=r"patch_rows=144: takes a multiple of 2\*\*depth, here 2\*\*5"):
        check_sizes(override(preset("small", "kidney", "axial"), ["depth=5"]))
