"""Solids have the volumes that geometry gives them."""

import numpy as np
import pytest

from kits_tf.simulation.fields import Field, Grid, random_generator
from kits_tf.simulation.shapes import arch, capsule, ellipsoid, rotation, union


def volume_ml(shape, step_mm=2.0):
    """Volume of a bounded shape by counting points of a regular grid."""
    low, high = shape.bounds
    count = np.ceil((high - low) / step_mm).astype(int) + 1
    return float((shape.value(Grid.regular(count, (step_mm,) * 3, low)) < 0).sum()) * step_mm**3 / 1000


BALL_ML = 4 / 3 * np.pi / 1000
"""Volume of a ball of 1 mm."""


@pytest.mark.parametrize(
    ("shape", "expected_ml", "step_mm"),
    [
        (ellipsoid((5, -3, 8), (20, 12, 9), rotation((0.4, 0, -0.7))), BALL_ML * 20 * 12 * 9, 0.7),
        (capsule([(0, 0, 0), (0, 30, 40)], [6, 6]), np.pi * 36 * 50 / 1000 + BALL_ML * 6**3, 0.5),
        (ellipsoid((0, 0, 0), 10).offset(2.5), BALL_ML * 12.5**3, 0.6),
        (ellipsoid((0, 0, 0), 10).offset(-2.5), BALL_ML * 7.5**3, 0.6),
    ],
)
def test_volumes(shape, expected_ml, step_mm):
    assert volume_ml(shape, step_mm) == pytest.approx(expected_ml, rel=0.015)


def test_a_ball_is_its_distance():
    grid = Grid.regular((9, 9, 9), (3, 3, 3), (-12, -12, -12))
    distance = np.sqrt(sum(c.astype(float) ** 2 for c in grid.open())) - 10
    np.testing.assert_allclose(ellipsoid((0, 0, 0), 10).value(grid), distance, atol=1e-3)


def test_combined_solids_add_up():
    a, b = ellipsoid((0, 0, 0), 12), ellipsoid((0, 0, 14), 12)
    height = 12 - 7  # of each of the two spherical caps that they share: r - d / 2
    lens = 2 * np.pi * height**2 * (3 * 12 - height) / 3 / 1000
    assert volume_ml(a & b, 0.5) == pytest.approx(lens, rel=0.03)
    both = 2 * BALL_ML * 12**3 - lens
    assert volume_ml(union([a, b], blend_mm=1e-3), 0.5) == pytest.approx(both, rel=0.01)
    assert both < volume_ml(union([a, b], blend_mm=4), 0.5) < 1.1 * both


def test_a_field_splits_a_solid():
    rising = Field(np.arange(8.0)[:, None, None] * np.ones((8, 8, 8)), (-35, -35, -35), 10)  # 3.5 at z = 0
    half = ellipsoid((0, 0, 0), 12).above(rising, 3.5, 10.0)
    assert volume_ml(half, 0.4) == pytest.approx(BALL_ML * 12**3 / 2, rel=0.04)


def test_an_arch_is_a_sheet_along_z_without_end():
    sheet = arch(10.0, 100.0, 50.0, 3.0)  # its circle has its centre at y = 10 - 3 - 100
    value = sheet.value(Grid.regular((2, 41, 101), (500, 1, 1), (0, -20, -50)))
    np.testing.assert_array_equal(value[0], value[1])
    np.testing.assert_allclose(value[0, 20:, 50], np.abs(np.arange(21) - 7) - 3, atol=1e-4)
    # Thickness times length of the arc.
    assert (value[0] < 0).sum() == pytest.approx(6 * 2 * 100 * np.arcsin(0.5), rel=0.03)


def test_every_solid_stays_within_its_bounds():
    rng = random_generator(3)
    turned = ellipsoid((0, 0, 0), (20, 9, 5), rotation((0.5, 1.0, -0.3)))
    line = capsule(rng.normal(0, 15, (2, 3)), [4, 6])
    box = (np.full(3, -20.0), np.full(3, 20.0))
    rough = ellipsoid((0, 0, 0), (15, 12, 10)).roughened(Field.noise(rng, box, 6), 1.0)
    for shape in (turned, line, rough, union([turned, line], blend_mm=5)):
        low, high = shape.bounds
        grid = Grid.regular(tuple(np.ceil(high - low).astype(int) + 12), (1, 1, 1), low - 6)
        inside = np.argwhere(shape.value(grid) < 0) + low - 6
        assert (inside >= low - 1).all() and (inside <= high + 1).all()
