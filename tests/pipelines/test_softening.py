"""Proves blur and low resolution on planted voxels."""

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.pipelines import softening


def soft(image, sigma, factor):
    return softening.soften(tf.constant(image)[..., None], tf.constant(sigma), factor).numpy()[..., 0]


def test_nothing_changes_nothing():
    image = np.random.default_rng(0).random((9, 13)).astype(np.float32)
    np.testing.assert_allclose(soft(image, [0.0, 0.0], 1.0), image, atol=1e-6)


@pytest.mark.parametrize("shape, sigma", [((41, 41), [2.0, 3.0]), ((31, 21, 31), [3.0, 1.0, 2.0])])
def test_blur_spreads_a_point_by_sigma(shape, sigma):
    image = np.zeros(shape, np.float32)
    centre = tuple(size // 2 for size in shape)
    image[centre] = 1
    blurred = soft(image, sigma, 1.0)
    assert blurred.sum() == pytest.approx(1, abs=1e-3)
    for axis, deviation in enumerate(sigma):
        profile = blurred.sum(axis=tuple(k for k in range(len(shape)) if k != axis))
        spread = (profile * (np.arange(shape[axis]) - centre[axis]) ** 2).sum() ** 0.5
        assert spread == pytest.approx(deviation, rel=0.03)


def test_low_resolution_keeps_places_and_loses_detail():
    """A ramp and a constant come back, but for the ends; stripes a voxel wide vanish."""
    ramp = np.tile(np.linspace(0, 1, 48, dtype=np.float32), (32, 1))
    np.testing.assert_allclose(soft(ramp, [0.0, 0.0], 4.0)[:, 4:-4], ramp[:, 4:-4], atol=1e-3)
    np.testing.assert_allclose(soft(np.full((32, 48), 0.7, np.float32), [0.0, 0.0], 2.7), 0.7, atol=1e-5)
    stripes = np.tile(np.float32([0, 1]), (32, 24))
    assert np.ptp(soft(stripes, [0.0, 0.0], 4.0)[4:-4, 4:-4]) < 0.05


def test_low_resolution_is_linear_between_large_voxels():
    """Voxels 4 times as large have centres at 1.5, 5.5, 9.5, ...: in between there are straight lines."""
    image = np.random.default_rng(0).random((1, 32)).astype(np.float32)
    bends = np.abs(np.diff(soft(image, [0.0, 0.0], 4.0)[0], 2))  # of voxels k, k + 1 and k + 2
    within = np.arange(30) % 4 >= 2
    assert bends[within].max() < 1e-5 < 1e-3 < bends[~within][1:-1].min()


@pytest.mark.parametrize("factor", [1.0, 1.001, 1.3, 3.7, 40.0])
@pytest.mark.parametrize("sigma", [0.0, 0.7])
def test_each_voxel_is_a_weighted_mean(factor, sigma):
    matrix = softening.resolution_matrix(23, tf.constant(sigma), tf.constant(factor)).numpy()
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
