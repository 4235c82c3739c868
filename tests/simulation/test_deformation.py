"""The map from patient to organ map: exact where nothing is bent, never torn where something is."""

import numpy as np
import pytest

from kits_tf.simulation.deformation import Deformation
from kits_tf.simulation.fields import Grid
from kits_tf.simulation.refinement import OrganMap


@pytest.fixture
def organs():
    shape = (20, 30, 40)
    numbers = np.zeros(shape, np.uint8)
    low, spacing = np.array([-20.0, -30.0, -40.0]), np.array([2.0, 2.0, 2.0])
    return OrganMap(numbers, numbers.astype(np.int8), low, spacing, {"kidney_left": np.array([0.0, 5.0, 20.0])})


def straight(organs):
    """A deformation that leaves every point where it is."""
    result = Deformation(np.random.default_rng(0), organs)
    result.values = result.points.copy()
    return result


def test_nothing_bent_looks_up_the_voxel_that_is_there(organs):
    grid = Grid.regular((20, 30, 40), (2.0, 2.0, 2.0), organs.low_mm)
    numbers = straight(organs).voxels(grid, organs)
    np.testing.assert_array_equal(numbers.ravel(), np.arange(20 * 30 * 40))
    # Beyond the map its ends go on.
    grid = Grid.regular((1, 1, 3), (2.0, 2.0, 2.0), organs.low_mm - (50, 0, 0))
    np.testing.assert_array_equal(straight(organs).voxels(grid, organs).ravel(), [0, 1, 2])


def test_a_kidney_is_resized_about_its_middle(organs):
    bent = straight(organs)
    bent.resize((0, 5, 20), 1.25, (0, 0, 0))
    at = np.argmin(((bent.points.reshape(3, -1).T - (0, 5, 20)) ** 2).sum(axis=1))
    point, value = (array.reshape(3, -1).T[at] for array in (bent.points, bent.values))
    np.testing.assert_allclose(value - (0, 5, 20), (point - (0, 5, 20)) / 1.25, atol=0.3)


def test_a_mass_pushes_without_folding(organs):
    bent = straight(organs)
    bent.linear = np.eye(3)
    bent.push((0, 0, 0), 20)
    assert np.diff(bent.values[2], axis=2).min() > 0
    near = np.linalg.norm(bent.values, axis=0) < np.linalg.norm(bent.points, axis=0) - 1
    assert near.any()
