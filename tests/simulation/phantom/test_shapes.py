"""Solids have the volumes that geometry gives them, and paint voxels by the share that they cover."""

import numpy as np
import pytest

from kits_tf.simulation.phantom.canvas import Canvas, coverage, tight_box
from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.grid import Grid
from kits_tf.simulation.phantom.layers import Layer
from kits_tf.simulation.phantom.materials import Materials, mixed_rng
from kits_tf.simulation.phantom.shapes import (
    Cached,
    Difference,
    Ellipsoid,
    HalfSpace,
    Intersection,
    Offset,
    Rough,
    Tube,
    Union,
    rotation,
    volume_ml,
)


def test_an_ellipsoid_has_four_thirds_pi_abc():
    shape = Ellipsoid((5, -3, 8), (20, 12, 9), rotation((0, 0.4), (2, -0.7)))
    assert volume_ml(shape, 0.7) == pytest.approx(4 / 3 * np.pi * 20 * 12 * 9 / 1000, rel=0.01)


def test_bending_keeps_the_volume():
    # The bend shears sections against each other, which Cavalieri's principle leaves at the same volume.
    straight = Ellipsoid((0, 0, 0), (30, 12, 10))
    bent = Ellipsoid((0, 0, 0), (30, 12, 10), bend_mm=9)
    assert volume_ml(bent, 0.8) == pytest.approx(volume_ml(straight, 0.8), rel=0.01)


def test_a_tube_is_a_cylinder_with_half_balls():
    shape = Tube([(0, 0, 0), (0, 30, 40)], 6)
    expected = np.pi * 36 * 50 + 4 / 3 * np.pi * 216
    assert volume_ml(shape, 0.5) == pytest.approx(expected / 1000, rel=0.02)


def test_a_flattened_tube_is_squeezed_along_y():
    shape = Tube([(0, 0, 0), (60, 0, 0)], 8, flatten=2.0)
    low, high = shape.bounds
    assert high[1] - low[1] >= 8
    grid = Grid(np.float32([30]), np.float32([3.9, 4.1]), np.float32([0]), (1, 1, 1))
    assert (shape.value(grid)[0, :, 0] < 0).tolist() == [True, False]


def test_a_ball_is_its_distance():
    ball = Ellipsoid((0, 0, 0), (10, 10, 10))
    grid = Grid.regular((9, 9, 9), (3, 3, 3), (-12, -12, -12))
    distance = np.sqrt(sum(c.astype(float) ** 2 for c in grid.open())) - 10
    np.testing.assert_allclose(ball.value(grid), distance, atol=1e-3)


def test_offset_grows_a_ball_by_millimetres():
    ball = Ellipsoid((0, 0, 0), (10, 10, 10))
    assert volume_ml(Offset(ball, 2.5), 0.6) == pytest.approx(4 / 3 * np.pi * 12.5**3 / 1000, rel=0.01)


def test_combined_solids_add_up():
    a, b = Ellipsoid((0, 0, 0), (12, 12, 12)), Ellipsoid((0, 0, 14), (12, 12, 12))
    # Two spherical caps of height h = r - d / 2.
    height = 12 - 7
    lens = 2 * np.pi * height**2 * (3 * 12 - height) / 3 / 1000
    one = 4 / 3 * np.pi * 12**3 / 1000
    assert volume_ml(Intersection(a, b), 0.5) == pytest.approx(lens, rel=0.03)
    assert volume_ml(Difference(a, b), 0.5) == pytest.approx(one - lens, rel=0.01)
    assert volume_ml(Union(a, b), 0.5) == pytest.approx(2 * one - lens, rel=0.01)


def test_every_solid_stays_within_its_bounds():
    rng = mixed_rng(3)
    turned = Ellipsoid((0, 0, 0), (20, 9, 5), rotation((0, 0.5), (1, 1.0), (2, -0.3)), bend_mm=4, exponent=2.5)
    tube = Tube(rng.normal(0, 15, (4, 3)), [4, 6, 3, 5], flatten=1.3)
    rough = Rough(Ellipsoid((0, 0, 0), (15, 12, 10)), Field.noise(rng, ((-20,) * 3, (20,) * 3), 6), 1.0)
    for shape in (turned, tube, rough, Union(turned, tube, blend_mm=5)):
        low, high = shape.bounds
        grid = Grid.regular(tuple(np.ceil(high - low).astype(int) + 12), (1, 1, 1), low - 6)
        inside = np.argwhere(shape.value(grid) < 0) + low - 6
        assert (inside >= low - 1).all() and (inside <= high + 1).all()


def test_a_cached_shape_is_cut_from_the_whole():
    rough = Rough(Ellipsoid((0, 0, 0), (9, 9, 9)), Field.noise(mixed_rng(1), ((-10,) * 3, (10,) * 3), 4), 1.0)
    cached = Cached(rough)
    grid = Grid.regular((12, 11, 10), (2, 2, 2), (-11, -10, -9))
    cached.value(grid)
    part = grid.crop((slice(3, 7), slice(0, 11), slice(2, 5)))
    np.testing.assert_allclose(cached.value(part), rough.value(part), atol=1e-4)
    elsewhere = Grid.regular((3, 3, 3), (1, 1, 1), (0.3, 0.3, 0.3))
    np.testing.assert_array_equal(cached.value(elsewhere), rough.value(elsewhere))


def test_a_field_is_the_same_on_every_grid():
    field = Field.noise(mixed_rng(2), ((-30,) * 3, (30,) * 3), 7)
    whole = Grid.regular((20, 20, 20), (2, 2, 2), (-20, -20, -20))
    part = whole.crop((slice(4, 9), slice(5, 6), slice(0, 20)))
    np.testing.assert_allclose(field.sample(part), field.sample(whole)[4:9, 5:6], atol=1e-5)


def test_a_field_has_unit_variance():
    field = Field.noise(mixed_rng(5), ((0,) * 3, (120,) * 3), 4)
    values = field.sample(Grid.regular((60, 60, 60), (2, 2, 2), (1, 1, 1)))
    assert values.mean() == pytest.approx(0, abs=0.1)
    assert values.std() == pytest.approx(1, rel=0.08)


def test_coverage_of_a_slab_is_linear():
    # A plane at 2.3 along each axis in turn: voxels span +-0.5, so voxel 2 is covered up to 2.3: 0.8 of it.
    for axis in range(3):
        shape, normal = [4, 4, 4], np.zeros(3)
        shape[axis], normal[axis] = 6, 1
        grid = Grid.regular(tuple(shape), (1, 1, 1), (0, 0, 0))
        share = coverage(HalfSpace(2.3 * normal, normal).value(grid), 1.5)
        profile = np.moveaxis(share, axis, 0)[:, 1, 1]
        np.testing.assert_allclose(profile, [1, 1, 0.8, 0, 0, 0], atol=1e-5)


def test_coverage_sums_to_the_volume_of_a_ball():
    ball = Ellipsoid((0.3, -0.2, 0.4), (9, 9, 9))
    grid = Grid.regular((17, 24, 24), (1.5, 1.0, 1.0), (-12, -12, -12))
    share = coverage(ball.value(grid), 0.8 * np.sqrt(4.25))
    assert share.sum() * 1.5 == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.015)


def test_a_thick_slice_blurs_further():
    grid = Grid.regular((7, 2, 2), (1, 1, 1), (0, 0, 0))
    value = HalfSpace((3, 0, 0), (1, 0, 0)).value(grid)
    np.testing.assert_allclose(coverage(value, 3.0, 2.0)[:, 0, 0], [1, 1, 1, 0.5, 0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(coverage(value + 0.5, 3.0, 2.0)[:, 0, 0], [1, 1, 0.75, 0.25, 0, 0, 0], atol=1e-5)


def test_tight_box():
    mask = np.zeros((5, 6, 7), bool)
    mask[2, 3:5, 0] = True
    assert tight_box(mask) == (slice(1, 4), slice(2, 6), slice(0, 2))
    assert tight_box(np.zeros((2, 2, 2), bool)) is None


def test_a_planted_ball_has_its_label_volume_and_hu():
    grid = Grid.regular((30, 40, 40), (2.0, 1.0, 1.0), (-30, -20, -20))
    materials = Materials(mixed_rng(0), "nephrographic")
    still = Field(np.zeros((4, 4, 4)), (-40, -40, -40), 30)
    canvas = Canvas(grid, materials, (still, still), 2.0)
    canvas.paint(Layer(Ellipsoid((0, 0, 0), (15, 15, 15)), "cortex", hu=150.0, label=1))
    canvas.paint(Layer(Ellipsoid((0.4, 0.3, 8.2), (6, 6, 6)), "tumor_solid", hu=90.0, label=2, within=(1,)))
    volumes = [(canvas.labels == k).sum() * 2 / 1000 for k in (1, 2)]
    ball = [4 / 3 * np.pi * r**3 / 1000 for r in (15, 6)]
    assert volumes[1] == pytest.approx(ball[1], rel=0.06)
    assert volumes[0] == pytest.approx(ball[0] - ball[1], rel=0.02)
    assert canvas.hu[15, 20, 28] == pytest.approx(90)
    assert canvas.hu[15, 20, 12] == pytest.approx(150)
    assert canvas.hu[0, 0, 0] == pytest.approx(materials.hu["air"])
