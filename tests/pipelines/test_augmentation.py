"""Proves geometry and intensity of the augmentation on planted pixels, and that the label follows the image."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.config import preset
from kits_tf.pipelines import augmentation

CONFIG = preset("small", "kidney", "axial")
STILL = dataclasses.replace(CONFIG, max_shift_hu=0.0, max_intensity_scaling=0.0, max_noise_hu=0.0)
SEED = tf.constant([3, 4])
SQUARE = tf.constant([1.0, 1.0])


def turn(image, pixel_mm, angle, factor=1.0):
    """The image [height, width] under one transform."""
    transform = augmentation.projective_transform(tf.constant(image.shape), tf.constant(pixel_mm), angle, factor)
    return augmentation.warp(tf.constant(image, tf.float32)[..., None], [], transform)[0].numpy()[..., 0]


def test_a_quarter_turn():
    """Against NumPy's exact one: what lay to the right of the centre comes to lie above it."""
    image = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    np.testing.assert_allclose(turn(image, (1.0, 1.0), math.pi / 2), np.rot90(image), atol=1e-5)


def test_no_turn_changes_nothing():
    image = np.random.default_rng(0).random((7, 12)).astype(np.float32)
    np.testing.assert_array_equal(turn(image, (3.0, 0.8), 0.0), image)


def test_rotation_is_rigid_in_mm():
    """With rows 2 mm and columns 1 mm, 8 columns right of the centre is 8 mm; a quarter turn puts it 4 rows up."""
    image = np.zeros((21, 21), np.float32)
    image[10, 18] = 1
    turned = turn(image, (2.0, 1.0), math.pi / 2)
    assert np.unravel_index(turned.argmax(), turned.shape) == (6, 10)
    assert turned.max() == pytest.approx(1, abs=1e-4)


def test_a_factor_above_one_enlarges():
    image = np.zeros((41, 41), np.float32)
    image[15:26, 15:26] = 1
    area = turn(image, (1.0, 1.0), 0.0, 1.5).sum()
    assert area == pytest.approx(1.5**2 * 121, rel=0.05)


def test_label_and_distance_follow_the_image():
    """All three are functions of one picture, before and after; the distance's outside value comes in at borders."""
    image = np.zeros((40, 60, 3), np.float32)
    image[12:30, 25:40] = 0.5
    label = (image[..., 1:2] > 0).astype(np.float32)
    distance = 20 - 40 * image[..., :1]
    moved = 0
    for seed in range(6):
        warped, [mask, mm] = augmentation.augment(
            tf.constant(image), [(tf.constant(label), 0.0), (tf.constant(distance), 20.0)], SQUARE, [seed, 0], STILL
        )
        np.testing.assert_allclose(mask.numpy(), 2 * warped.numpy()[..., 1:2], atol=1e-5)
        np.testing.assert_allclose(mm.numpy(), 20 - 40 * warped.numpy()[..., :1], atol=1e-4)
        moved += not np.array_equal(warped, image)
    assert moved == 6


def test_nothing_is_mirrored():
    """A bright mark at the right border stays in the right half under every draw."""
    image = np.zeros((64, 64, 1), np.float32)
    image[20:44, 44:60] = 1.0
    for seed in range(20):
        warped, _ = augmentation.augment(tf.constant(image), [], SQUARE, [seed, 1], STILL)
        assert (warped.numpy()[..., 0] * np.arange(64)).sum() / warped.numpy().sum() > 40


def test_seeds_repeat_and_differ():
    image = tf.constant(np.random.default_rng(1).random((16, 16, 3)), tf.float32)
    first, again, other = (augmentation.augment(image, [], SQUARE, s, CONFIG)[0].numpy() for s in (SEED, SEED, [3, 5]))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_air_stays_air_and_intensities_stay_in_range():
    image = np.zeros((50, 50, 1), np.float32)
    image[10:40, 10:40] = 0.99
    changed = augmentation.change_intensity(tf.constant(image), 1.05, 0.02, SEED, 0.5).numpy()
    assert (changed[image == 0] == 0).all()
    assert 0 <= changed.min() and changed.max() == 1
    plain = augmentation.change_intensity(tf.constant(image), 0.9, 0.05, SEED, 0.0).numpy()
    np.testing.assert_allclose(plain[20, 20], 0.99 * 0.9 + 0.05, rtol=1e-6)


def test_noise_is_at_most_what_the_option_says():
    image = tf.fill([100, 100, 1], 0.5)
    spreads = [augmentation.change_intensity(image, 1.0, 0.0, [s, 0], 0.01).numpy().std() for s in range(20)]
    assert max(spreads) < 0.0102 and np.std(spreads) > 0.001


def test_bending_by_nothing_is_warping():
    image = tf.constant(np.random.default_rng(0).random((24, 30, 2)), tf.float32)
    transform = augmentation.projective_transform(tf.shape(image)[:2], SQUARE, 0.3, 1.1)
    bent = augmentation.bend(image, [], transform, tf.zeros([24, 30, 2]))[0]
    np.testing.assert_allclose(bent, augmentation.warp(image, [], transform)[0], atol=1e-4)


def test_bending_reads_where_the_field_points():
    """A field of 3 pixels down and 2 to the right brings the mark 3 up and 2 to the left; the label goes along."""
    image = np.zeros((20, 20, 1), np.float32)
    image[10, 12] = 1
    still = augmentation.projective_transform(tf.constant([20, 20]), SQUARE, 0.0, 1.0)
    field = tf.fill([20, 20, 1], 1.0) * tf.constant([3.0, 2.0])
    bent, [label] = augmentation.bend(tf.constant(image), [(tf.constant(image), 0.0)], still, field)
    for array in (bent, label):
        assert np.argwhere(array.numpy()[..., 0] > 0.999).tolist() == [[7, 10]]


def test_displacements_stay_within_the_option_and_are_smooth():
    config = dataclasses.replace(STILL, max_elastic_mm=5.0, elastic_mm=30.0)
    field = augmentation.displacement_mm(tf.constant([120, 90]), SQUARE, SEED, config).numpy()
    assert field.shape == (120, 90, 2)
    assert 1 < np.abs(field).max() < 5 * 1.5  # cubic interpolation overshoots a little
    assert np.abs(np.diff(field, axis=0)).max() < 1


def test_blur_spreads_a_point_by_sigma():
    image = np.zeros((41, 41, 1), np.float32)
    image[20, 20] = 1
    blurred = augmentation.blur(tf.constant(image), tf.constant([2.0, 3.0])).numpy()[..., 0]
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    for axis, sigma in ((1, 2.0), (0, 3.0)):
        spread = (blurred.sum(axis=axis) * (np.arange(41) - 20.0) ** 2).sum() ** 0.5
        assert spread == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("option", ["max_elastic_mm", "max_gamma", "max_blur_mm", "max_coarsening"])
def test_each_option_changes_samples_repeats_and_keeps_air(option):
    config = dataclasses.replace(STILL, max_rotation_degrees=0.0, max_scaling=0.0, **{option: 3.0})
    image = np.zeros((48, 40, 3), np.float32)
    image[8:40, 6:34] = np.random.default_rng(0).uniform(0.2, 0.8, (32, 28, 3))
    label = (image[..., :1] > 0).astype(np.float32)
    changed = 0
    for seed in range(6):
        runs = [
            augmentation.augment(tf.constant(image), [(tf.constant(label), 0.0)], SQUARE, [seed, 0], config)
            for _ in range(2)
        ]
        (found, [mask]), (again, _) = runs
        np.testing.assert_array_equal(found, again)
        assert 0 <= found.numpy().min() and found.numpy().max() <= 1
        assert (found.numpy()[mask.numpy()[..., 0] == 0] == 0).all()
        changed += np.abs(found.numpy() - image).max() > 1e-3
    assert changed > 0
