"""Proves rotation, scaling and elastic fields on planted voxels, in 2D and 3D."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.pipelines import warping


def warped(image, spacing_mm, angles, factor=1.0, field=None):
    """An image [*shape] under one transform; the field is in voxels."""
    matrix = warping.source_matrix(tf.constant(angles, tf.float32), factor, tf.constant(spacing_mm, tf.float32))
    positions = warping.source_positions(list(image.shape), matrix, field)
    return warping.warp(tf.constant(image, tf.float32)[..., None], [], positions)[0].numpy()[..., 0]


def planted(shape, place):
    image = np.zeros(shape, np.float32)
    image[place] = 1
    return image


def brightest(image):
    assert image.max() > 0.999
    return tuple(int(i) for i in np.unravel_index(image.argmax(), image.shape))


def test_a_quarter_turn():
    """Against NumPy's exact one: what lay to the right of the centre comes to lie above it."""
    image = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    np.testing.assert_allclose(warped(image, (1.0, 1.0), [math.pi / 2]), np.rot90(image), atol=1e-5)


@pytest.mark.parametrize("plane, axes", list(enumerate([(1, 2), (0, 2), (0, 1)])))
def test_a_quarter_turn_in_each_plane_of_a_volume(plane, axes):
    """Angles are in the order (row, column), (slice, column), (slice, row)."""
    image = np.random.default_rng(0).random((7, 7, 7)).astype(np.float32)
    angles = [math.pi / 2 * (k == plane) for k in range(3)]
    np.testing.assert_allclose(warped(image, (1.0, 1.0, 1.0), angles), np.rot90(image, axes=axes), atol=1e-5)


@pytest.mark.parametrize(
    "shape, spacing_mm, angles", [((7, 12), (3.0, 0.8), [0.0]), ((4, 5, 6), (3.0, 1, 2), [0.0] * 3)]
)
def test_no_turn_changes_nothing(shape, spacing_mm, angles):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    np.testing.assert_allclose(warped(image, spacing_mm, angles), image, atol=1e-6)


def test_rotation_is_rigid_in_mm():
    """With rows 2 mm and columns 1 mm, 8 columns right of the centre is 8 mm; a quarter turn puts it 4 rows up."""
    turned = warped(planted((21, 21), (10, 18)), (2.0, 1.0), [math.pi / 2])
    assert brightest(turned) == (6, 10)


def test_rotation_of_a_volume_is_rigid_in_mm():
    """With slices of 4 mm and rows of 1 mm, 8 rows behind the centre is 8 mm; a quarter turn puts it 2 slices up."""
    turned = warped(planted((9, 21, 5), (4, 18, 2)), (4.0, 1.0, 2.0), [0.0, 0.0, math.pi / 2])
    assert brightest(turned) == (2, 10, 2)


@pytest.mark.parametrize("num_axes", [2, 3])
def test_a_factor_above_one_enlarges(num_axes):
    image = planted([31] * num_axes, (slice(10, 21),) * num_axes)
    angles = [0.0] * len(warping.rotation_planes(num_axes))
    found = warped(image, [1.0] * num_axes, angles, 1.5).sum()
    assert found == pytest.approx((1.5 * 11) ** num_axes, rel=0.08)


@pytest.mark.parametrize("shape, place, shift", [((20, 20), (10, 12), (3, 2)), ((9, 12, 14), (5, 6, 7), (2, -3, 1))])
def test_voxels_are_read_where_the_field_points(shape, place, shift):
    """A field of 3 voxels down and 2 to the right brings the mark 3 up and 2 to the left."""
    field = tf.fill([*shape, len(shape)], 1.0) * tf.constant(shift, tf.float32)
    angles = [0.0] * len(warping.rotation_planes(len(shape)))
    moved = warped(planted(shape, place), [1.0] * len(shape), angles, 1.0, field)
    assert brightest(moved) == tuple(p - s for p, s in zip(place, shift, strict=True))


@pytest.mark.parametrize("shape", [(120, 90), (30, 40, 24)])
def test_displacements_stay_within_the_option_and_are_smooth(shape):
    spacing_mm = tf.constant([3.0, 1.0, 1.0][-len(shape) :])
    field = warping.displacement_mm(list(shape), spacing_mm, tf.constant([1, 2]), 5.0, 30.0).numpy()
    assert field.shape == (*shape, len(shape))
    assert 1 < np.abs(field).max() < 5
    for axis in range(len(shape)):
        assert np.abs(np.diff(field, axis=axis)).max() < 5 * float(spacing_mm[axis]) / 30


def test_spline_weights_share_out_one():
    """At a control point the cubic B-spline is 2/3 with 1/6 on both sides; the points go round."""
    weights = warping.spline_weights(tf.constant([0.0, 3.0, 5.37, 40.0])).numpy()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(weights[1, 2:5], [1 / 6, 2 / 3, 1 / 6], atol=1e-6)
    np.testing.assert_allclose(weights[0, [15, 0, 1]], [1 / 6, 2 / 3, 1 / 6], atol=1e-6)
    np.testing.assert_allclose(weights[3], np.roll(weights[0], 40 % warping.CONTROL_POINTS), atol=1e-6)


def test_shapes_may_be_unknown_while_tracing():
    image = np.random.default_rng(0).random((6, 7, 8, 1)).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1])])
    def traced(array):
        matrix = warping.source_matrix(tf.constant([0.1, 0.2, 0.3]), 1.1, tf.constant([1.0, 2.0, 3.0]))
        return warping.warp(array, [], warping.source_positions(warping.sides(array), matrix))[0]

    expected = warped(image[..., 0], (1.0, 2.0, 3.0), [0.1, 0.2, 0.3], 1.1)
    np.testing.assert_allclose(traced(tf.constant(image))[..., 0], expected, atol=1e-5)
