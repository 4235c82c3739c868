"""Proves stage 2's geometry: the cube and its way back, the sub-blocks and theirs, on NumPy and TensorFlow alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kits_tf import kidney_crops
from kits_tf.arrays import NumPy

SPACING_MM = (3.0, 0.8, 0.8)


@pytest.mark.parametrize(
    "mode, third",
    [
        ("split", (slice(16, None), slice(0, 24))),
        ("overlap", (slice(8, None), slice(0, 32))),
        ("polyphase", (slice(1, None, 2), slice(0, None, 2))),
        ("none", (slice(None), slice(None))),
    ],
)
def test_sub_blocks_are_the_quarters_phases_or_the_whole_and_join_undoes_split(xp, mode, third):
    cube = np.random.default_rng(0).normal(size=(8, 32, 48)).astype(np.float32)
    blocks = kidney_crops.split(xp, cube, mode)
    np.testing.assert_array_equal(np.asarray(blocks)[-2 % len(blocks)], cube[:, third[0], third[1]])
    np.testing.assert_array_equal(np.asarray(kidney_crops.join(xp, blocks, mode)), cube)


@pytest.mark.parametrize("grid", (96, 160))
def test_a_linear_ramp_returns(xp, grid):
    shape = (30, 110, 90)
    s, r, c = np.indices(shape)
    ramp = (s / 60 + r / 440 + c / 360).astype(np.float32)
    cube = kidney_crops.to_cube(xp, ramp, SPACING_MM, 10.0, grid)
    returned = np.asarray(kidney_crops.from_cube(xp, cube, shape, SPACING_MM, 10.0))
    inner = (slice(3, -3), slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(returned[inner], ramp[inner], atol=1e-4)


def test_the_cube_is_centred_and_keeps_volume():
    """A box of 30 mm in a cube of 30 + 10 mm on 80 voxels of 0.5 mm: its middle stays, its integral too."""
    cube = kidney_crops.to_cube(NumPy, np.ones((10, 30, 15), np.float32), (3.0, 1.0, 2.0), 10.0, 80)
    np.testing.assert_allclose(cube, cube[::-1, ::-1, ::-1], atol=1e-5)
    assert cube[40, 40, 40] == pytest.approx(1)
    assert cube.sum() * 0.5**3 == pytest.approx(30**3, rel=1e-3)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.floats(0.3, 10), st.sampled_from((2, 4, 8)))
@settings(deadline=None)
def test_native_padding_is_undone_and_divisible(slices, rows, columns, slice_mm, multiple):
    """Pixels of 3 mm make cubes of few voxels, which must still be long enough for sub-blocks that overlap."""
    crop = np.random.default_rng(0).normal(size=(slices, rows, columns))
    padding = kidney_crops.native_padding(NumPy, crop.shape, (slice_mm, 3.0, 3.0), 10.0, multiple)
    padded = np.pad(crop, padding)
    assert not np.any(np.array(padded.shape) % (multiple, 2 * multiple, 2 * multiple))
    joined = kidney_crops.join(NumPy, kidney_crops.split(NumPy, padded, "overlap"), "overlap")
    np.testing.assert_array_equal(joined, padded)
    np.testing.assert_array_equal(kidney_crops.unpad(NumPy, padded, padding), crop)
