"""Random fields are the same on every grid and have unit variance; keys give repeatable generators."""

import numpy as np
import pytest

from kits_tf.simulation.fields import Field, Grid, random_generator


def test_a_field_is_the_same_on_every_grid():
    field = Field.noise(random_generator(2), (np.full(3, -30.0), np.full(3, 30.0)), 7)
    whole = Grid.regular((20, 20, 20), (2, 2, 2), (-20, -20, -20))
    part = whole.crop((slice(4, 9), slice(5, 6), slice(0, 20)))
    np.testing.assert_allclose(field.sample(part), field.sample(whole)[4:9, 5:6], atol=1e-5)


def test_a_field_has_unit_variance():
    field = Field.noise(random_generator(5), (np.full(3, -60.0), np.full(3, 60.0)), 4)
    values = field.sample(Grid.regular((60, 60, 60), (2, 2, 2), (-59,) * 3))
    assert (values.mean(), values.std()) == pytest.approx((0, 1), abs=0.1)


def test_a_grids_box_holds_the_voxels_within_bounds():
    grid = Grid.regular((5, 6, 7), (2, 1, 1), (10, 0, -3), first_slice=1)
    np.testing.assert_array_equal(grid.axes[0], [12, 14, 16, 18, 20])
    assert grid.box((np.array([13, 2, -1]), np.array([17, 3.5, 1])), margin=0) == np.s_[1:3, 2:4, 2:5]
    assert grid.box((np.array([30, 0, 0]), np.array([40, 1, 1]))) is None
