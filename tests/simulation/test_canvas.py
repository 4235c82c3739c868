"""Solids paint voxels by the share that they cover."""

import numpy as np
import pytest

from kits_tf.simulation.canvas import Canvas, Layer, coverage
from kits_tf.simulation.fields import Field, Grid
from kits_tf.simulation.shapes import ellipsoid


def plane(shape, at_mm, axis):
    """Implicit values of everything below a plane across an axis, on a grid of 1 mm."""
    return np.broadcast_to(Grid.regular(shape, (1, 1, 1), (0, 0, 0)).open()[axis] - np.float32(at_mm), shape)


@pytest.mark.parametrize("axis", range(3))
def test_coverage_of_a_slab_is_linear(axis):
    # A plane at 2.3: voxels span +-0.5, so that voxel 2 is covered up to 2.3, 0.8 of it.
    share = coverage(plane((6, 6, 6), 2.3, axis), 1.5)
    np.testing.assert_allclose(np.moveaxis(share, axis, 0)[:, 1, 1], [1, 1, 0.8, 0, 0, 0], atol=1e-5)


def test_coverage_sums_to_the_volume_of_a_ball():
    grid = Grid.regular((17, 24, 24), (1.5, 1.0, 1.0), (-12, -12, -12))
    share = coverage(ellipsoid((0.3, -0.2, 0.4), 9).value(grid), 0.8 * np.sqrt(4.25))
    assert share.sum() * 1.5 == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.015)


def test_a_thick_slice_blurs_further():
    value = plane((7, 2, 2), 3, 0)
    np.testing.assert_allclose(coverage(value, 3.0, 2.0)[:, 0, 0], [1, 1, 1, 0.5, 0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(coverage(value + 0.5, 3.0, 2.0)[:, 0, 0], [1, 1, 0.75, 0.25, 0, 0, 0], atol=1e-5)


def test_painted_balls_have_their_labels_volumes_and_hu():
    grid = Grid.regular((30, 40, 40), (2.0, 1.0, 1.0), (-30, -20, -20))
    still = Field(np.zeros((4, 4, 4)), (-40, -40, -40), 30)
    canvas = Canvas(grid, (still, still), 2.0, -1000.0)
    canvas.paint(Layer(ellipsoid((0, 0, 0), 15), "liver", 150.0, label=1))
    canvas.paint(Layer(ellipsoid((0.4, 0.3, 8.2), 6), "solid", 90.0, label=2))
    canvas.paint(Layer(ellipsoid((0, 0, 0), 17), "fat", -100.0, only_background=True))
    volumes = [(canvas.labels == label).sum() * 2 / 1000 for label in (1, 2)]
    large, small = (4 / 3 * np.pi * radius**3 / 1000 for radius in (15, 6))
    assert volumes[1] == pytest.approx(small, rel=0.06)
    assert volumes[0] == pytest.approx(large - small, rel=0.02)
    assert canvas.hu[15, 20, 28] == pytest.approx(90)
    assert canvas.hu[15, 20, 12] == pytest.approx(150)
    assert canvas.hu[15, 20, 36] == pytest.approx(-100)
    assert canvas.hu[0, 0, 0] == -1000
