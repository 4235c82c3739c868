"""Proves that volumes come on the working grid and back whole, whatever the chunks, and where they belong."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from kits_tf import geometry
from kits_tf.config import preset

CONFIG = preset("small", "kidney", "axial")


def test_each_axis_follows_its_own_option():
    config = dataclasses.replace(CONFIG, inplane_mm=2.0, slice_mm=3.0)
    assert geometry.working_shape((100, 512, 256), (1.5, 0.8, 0.7), config) == (50, 205, 90)
    no_slices = dataclasses.replace(config, slice_mm=0.0)
    assert geometry.working_shape((100, 512, 256), (1.5, 0.8, 0.7), no_slices) == (100, 205, 90)
    native = dataclasses.replace(no_slices, inplane_mm=0.0)
    assert geometry.working_shape((100, 512, 256), (1.5, 0.8, 0.7), native) == (100, 512, 256)
    assert geometry.is_native(native) and not geometry.is_native(no_slices)


def centres(old, new):
    """Where the voxels of a new axis lie on the old one that covers the same length."""
    return (np.arange(new) + 0.5) * old / new - 0.5


def test_magnifying_is_linear_interpolation():
    volume = np.random.default_rng(4).normal(size=(37, 30, 22)).astype(np.float32)
    shape = (53, 45, 31)
    where = np.meshgrid(*map(centres, volume.shape, shape), indexing="ij")
    expected = ndimage.map_coordinates(volume, where, order=1, mode="nearest")
    np.testing.assert_allclose(geometry.resized(volume, shape), expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(20, 11, 9), (53, 11, 9), (20, 45, 31)])
def test_a_linear_ramp_stays_one_away_from_the_ends(shape):
    ramp = sum(
        c * g for c, g in zip((1.0, -2.0, 0.5), np.meshgrid(*map(np.arange, (37, 30, 22)), indexing="ij"), strict=True)
    )
    where = np.meshgrid(*map(centres, ramp.shape, shape), indexing="ij")
    expected = sum(c * w for c, w in zip((1.0, -2.0, 0.5), where, strict=True))
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(geometry.resized(ramp, shape)[inner], expected[inner], atol=1e-4)


def test_a_ball_returns_from_the_working_grid():
    spacing_mm = (5.0, 0.8, 0.8)
    positions = np.meshgrid(
        *[(np.arange(n) + 0.5) * mm for n, mm in zip((40, 200, 180), spacing_mm, strict=True)], indexing="ij"
    )
    ball = sum((p - c) ** 2 for p, c in zip(positions, (100, 80, 70), strict=True)) < 30**2
    shape = geometry.working_shape(ball.shape, spacing_mm, dataclasses.replace(CONFIG, slice_mm=3.0))
    there = geometry.resized(ball, shape)
    back = geometry.resized(there, ball.shape) > 0.5
    assert 2 * np.count_nonzero(back & ball) / (np.count_nonzero(back) + np.count_nonzero(ball)) > 0.98
    centre = ndimage.center_of_mass(there) + np.full(3, 0.5)
    mm = np.array(spacing_mm) * ball.shape / shape
    np.testing.assert_allclose(centre * mm, (100, 80, 70), atol=0.2)


def test_metal_is_clipped_before_it_is_resized():
    volume = np.zeros((2, 6, 6), np.int16)
    volume[:, 2, 2] = 30_000
    assert geometry.resized(volume, (2, 3, 3), geometry.clipped).max() <= geometry.HU_MAX
