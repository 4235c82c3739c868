"""Proves the augmentation in 2D and 3D: label follows image, air stays air, one seed is one sample, planted voxels."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.config import preset
from kits_tf.pipelines import augment as augmentation

GEOMETRY = {"max_rotation_degrees": 15.0, "max_scaling": 0.2, "max_elastic_mm": 4.0}
APPEARANCE = {"max_shift_hu": 60.0, "max_intensity_scaling": 0.1, "max_noise_hu": 30.0, "max_gamma": 0.5}
APPEARANCE |= {"max_blur_mm": 3.0, "max_coarsening": 3.0}
STILL = dataclasses.replace(preset("small", "kidney", "axial"), **dict.fromkeys(GEOMETRY | APPEARANCE, 0.0))
EVERYTHING = dataclasses.replace(STILL, **GEOMETRY, **APPEARANCE)
SHAPES = [(24, 20), (10, 14, 12)]


def augment(image, targets, seed, config):
    """`augment.augment` of NumPy arrays [*shape, channels] with voxels of 1 mm."""
    targets = [(tf.constant(target), outside) for target, outside in targets]
    spacing_mm = tf.ones([image.ndim - 1])
    image, targets = augmentation.augment(tf.constant(image), targets, spacing_mm, tf.constant(seed), config)
    return image.numpy(), [target.numpy() for target in targets]


def with_body(shape, channels=1):
    """Random values between 0.2 and 0.8 in the middle, air around them."""
    image = np.zeros((*shape, channels), np.float32)
    middle = tuple(slice(size // 6, size - size // 6) for size in shape)
    image[middle] = np.random.default_rng(0).uniform(0.2, 0.8, image[middle].shape)
    return image


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("option", GEOMETRY)
def test_label_and_distance_follow_the_image(option, shape):
    """All three are functions of one picture, before and after; the distance's outside value comes in at borders."""
    image = np.zeros((*shape, 1), np.float32)
    image[tuple(slice(size // 4, size // 2) for size in shape)] = 0.5
    config = dataclasses.replace(STILL, **{option: GEOMETRY[option]})
    for seed in range(4):
        moved, [mask, mm] = augment(image, [(2 * image, 0.0), (20 - 40 * image, 20.0)], [seed, 0], config)
        np.testing.assert_allclose(mask, 2 * moved, atol=1e-5)
        np.testing.assert_allclose(mm, 20 - 40 * moved, atol=1e-4)
        assert np.abs(moved - image).max() > 0.01


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("option", [*GEOMETRY, *APPEARANCE])
def test_seeds_repeat_and_differ_and_appearance_leaves_geometry_alone(option, shape):
    """Then the label stays where it is, and air air; every sample is in the network's range."""
    image, label = with_body(shape), (with_body(shape) > 0.5).astype(np.float32)
    config = dataclasses.replace(STILL, **{option: (GEOMETRY | APPEARANCE)[option]})
    samples = []
    for seed in range(5):
        found, [mask] = augment(image, [(label, 0.0)], [seed, 5], config)
        if option in APPEARANCE:
            np.testing.assert_array_equal(mask, label)
            assert (found[image == 0] == 0).all()
        assert 0 <= found.min() and found.max() <= 1
        samples.append(found)
    np.testing.assert_array_equal(augment(image, [], [4, 5], config)[0], samples[4])
    assert len({sample.tobytes() for sample in samples}) >= 3  # some options leave half of the samples alone


def test_nothing_is_mirrored():
    """A bright mark at one end of an axis stays on its side under every draw."""
    shape = (20, 28, 24)
    for axis in range(len(shape)):
        ends = [slice(size // 3, size - size // 3) for size in shape]
        ends[axis] = slice(shape[axis] - shape[axis] // 3, shape[axis] - 2)
        image = np.zeros((*shape, 1), np.float32)
        image[tuple(ends)] = 0.9
        for seed in range(6):
            found = augment(image, [], [seed, 1], EVERYTHING)[0][..., 0]
            profile = found.sum(axis=tuple(k for k in range(len(shape)) if k != axis))
            assert (profile * np.arange(shape[axis])).sum() / profile.sum() > shape[axis] / 2


def test_gain_and_shift_are_a_line_within_the_options():
    ramp = np.linspace(0.3, 0.7, 40, dtype=np.float32).reshape(1, 40, 1)
    config = dataclasses.replace(STILL, max_shift_hu=60.0, max_intensity_scaling=0.1)
    for seed in range(5):
        found = augment(ramp, [], [seed, 0], config)[0].ravel()
        gain = (found[-1] - found[0]) / 0.4
        shift_hu = (found[0] - gain * 0.3) * 600
        assert abs(gain - 1) <= 0.1 and abs(shift_hu) <= 60.0
        np.testing.assert_allclose(found, gain * ramp.ravel() + shift_hu / 600, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.7, 1.0, 1.4])
def test_gamma_bends_and_keeps_mean_and_spread(gamma):
    image = with_body((48, 40))
    inside = image > 0
    found = augmentation.bend(tf.constant(image), tf.constant(gamma)).numpy()
    for moment in (np.mean, np.std):
        assert moment(found[inside]) == pytest.approx(moment(image[inside]), abs=1e-4)
    line = np.polyfit(image[inside] ** gamma, found[inside], 1)
    np.testing.assert_allclose(np.polyval(line, image[inside] ** gamma), found[inside], atol=1e-5)


def test_air_does_not_blur_into_the_rest_and_noise_is_at_most_what_the_option_says():
    """A constant disc stays as it is to its very border."""
    image = np.zeros((30, 30, 1), np.float32)
    image[8:20, 10:25] = 0.6
    config = dataclasses.replace(STILL, max_blur_mm=3.0, max_coarsening=3.0)
    for seed in range(6):
        np.testing.assert_allclose(augment(image, [], [seed, 0], config)[0], image, atol=1e-4)
    image, config = np.full((100, 100, 1), 0.5, np.float32), dataclasses.replace(STILL, max_noise_hu=6.0)
    spreads = [augment(image, [], [seed, 0], config)[0].std() * 600 for seed in range(20)]
    assert max(spreads) < 6.1 and np.std(spreads) > 0.6


def test_compiled_samples_are_the_same():
    """XLA may round otherwise, no more."""
    image = with_body(SHAPES[1])
    label = (image > 0.5).astype(np.float32)
    compiled = augmentation.compiled(
        lambda image, label, seed: augmentation.augment(image, [(label, 0.0)], tf.ones([3]), seed, EVERYTHING)
    )
    for seed in range(3):
        plain, [mask] = augment(image, [(label, 0.0)], [seed, 0], EVERYTHING)
        found, [moved] = compiled(tf.constant(image), tf.constant(label), tf.constant([seed, 0]))
        np.testing.assert_allclose(found, plain, atol=1e-3)
        np.testing.assert_allclose(moved, mask, atol=1e-3)


def soft(image, sigma, factor):
    return augmentation.soften(tf.constant(image)[..., None], tf.constant(sigma), factor).numpy()[..., 0]


def test_blur_spreads_a_point_by_sigma():
    shape, sigma = (31, 21, 31), [3.0, 1.0, 2.0]
    centre = tuple(size // 2 for size in shape)
    blurred = soft(planted(shape, centre), sigma, 1.0)
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


def warped(image, spacing_mm, angles, factor=1.0, field=None):
    """An image [*shape] under one transform; the field is in voxels."""
    matrix = augmentation.source_matrix(tf.constant(angles, tf.float32), factor, tf.constant(spacing_mm, tf.float32))
    positions = augmentation.source_positions(list(image.shape), matrix, field)
    return augmentation.warp(tf.constant(image, tf.float32)[..., None], [], positions)[0].numpy()[..., 0]


def planted(shape, place):
    image = np.zeros(shape, np.float32)
    image[place] = 1
    return image


@pytest.mark.parametrize("plane, axes", list(enumerate([(1, 2), (0, 2), (0, 1)])))
def test_a_quarter_turn_in_each_plane_of_a_volume(plane, axes):
    """Angles are in the order (row, column), (slice, column), (slice, row); turns are rigid in mm.

    With rows 2 mm and columns 1 mm, 8 columns right of the centre is 8 mm, and a quarter turn puts it 4 rows up.
    """
    image = np.random.default_rng(0).random((7, 7, 7)).astype(np.float32)
    angles = [math.pi / 2 * (k == plane) for k in range(3)]
    np.testing.assert_allclose(warped(image, (1.0, 1.0, 1.0), angles), np.rot90(image, axes=axes), atol=1e-5)
    assert warped(planted((21, 21), (10, 18)), (2.0, 1.0), [math.pi / 2])[6, 10] > 0.999


def test_a_factor_above_one_enlarges_and_voxels_are_read_where_the_field_points():
    """A field of 2 voxels down brings the mark 2 up."""
    image = planted([31] * 3, (slice(10, 21),) * 3)
    assert warped(image, [1.0] * 3, [0.0] * 3, 1.5).sum() == pytest.approx((1.5 * 11) ** 3, rel=0.08)
    field = tf.broadcast_to([2.0, -3.0, 1.0], (9, 12, 14, 3))
    assert warped(planted((9, 12, 14), (5, 6, 7)), [1.0] * 3, [0.0] * 3, 1.0, field)[3, 9, 6] > 0.999


@pytest.mark.parametrize("shape", [(120, 90), (30, 40, 24)])
def test_displacements_stay_within_the_option_and_are_smooth(shape):
    spacing_mm = [3.0, 1.0, 1.0][-len(shape) :]
    field = augmentation.displacement_mm(list(shape), tf.constant(spacing_mm), tf.constant([1, 2]), 5.0, 30.0).numpy()
    assert field.shape == (*shape, len(shape)) and 1 < np.abs(field).max() < 5
    for axis, mm in enumerate(spacing_mm):
        assert np.abs(np.diff(field, axis=axis)).max() < 5 * mm / 30
