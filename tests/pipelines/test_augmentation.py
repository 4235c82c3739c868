"""Proves the augmentation in 2D and 3D: the label follows the image, air stays air, one seed is one sample."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.config import preset
from kits_tf.pipelines import augmentation

CONFIG = preset("small", "kidney", "axial")
MOVING = {"max_rotation_degrees": 15.0, "max_scaling": 0.2}
STILL = dataclasses.replace(
    CONFIG,
    **dict.fromkeys(MOVING, 0.0),
    max_shift_hu=0.0,
    max_intensity_scaling=0.0,
    max_noise_hu=0.0,
)
EVERYTHING = dataclasses.replace(
    CONFIG, **MOVING, max_elastic_mm=4.0, max_gamma=0.3, max_blur_mm=2.0, max_coarsening=2.0
)
GEOMETRY = {"max_rotation_degrees": 15.0, "max_scaling": 0.2, "max_elastic_mm": 6.0}
APPEARANCE = {
    "max_shift_hu": 60.0,
    "max_intensity_scaling": 0.1,
    "max_noise_hu": 30.0,
    "max_gamma": 0.5,
    "max_blur_mm": 3.0,
    "max_coarsening": 3.0,
}
SHAPES = [(48, 40), (20, 28, 24)]
SEED = tf.constant([3, 4])


def augment(image, targets, seed, config):
    """`augmentation.augment` of NumPy arrays [*shape, channels] with voxels of 1 mm."""
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
@pytest.mark.parametrize("option", APPEARANCE)
def test_appearance_leaves_geometry_alone(option, shape):
    """The label stays where it is, air stays air, and every sample is in the network's range."""
    image, label = with_body(shape), (with_body(shape) > 0.5).astype(np.float32)
    config = dataclasses.replace(STILL, **{option: APPEARANCE[option]})
    changed = 0
    for seed in range(6):
        found, [mask] = augment(image, [(label, 0.0)], [seed, 0], config)
        np.testing.assert_array_equal(mask, label)
        assert (found[image == 0] == 0).all()
        assert 0 <= found.min() and found.max() <= 1
        changed += np.abs(found - image).max() > 1e-3
    assert changed >= 2


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_mirrored(shape):
    """A bright mark at one end of an axis stays on its side under every draw."""
    for axis in range(len(shape)):
        ends = [slice(size // 3, size - size // 3) for size in shape]
        ends[axis] = slice(shape[axis] - shape[axis] // 3, shape[axis] - 2)
        image = np.zeros((*shape, 1), np.float32)
        image[tuple(ends)] = 0.9
        for seed in range(6):
            found = augment(image, [], [seed, 1], EVERYTHING)[0][..., 0]
            profile = found.sum(axis=tuple(k for k in range(len(shape)) if k != axis))
            assert (profile * np.arange(shape[axis])).sum() / profile.sum() > shape[axis] / 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("option", [*GEOMETRY, *APPEARANCE])
def test_seeds_repeat_and_differ(option, shape):
    config = dataclasses.replace(STILL, **{option: (GEOMETRY | APPEARANCE)[option]})
    image = with_body(shape)
    samples = [augment(image, [], [seed, 5], config)[0] for seed in (*range(5), *range(5))]
    for first, again in zip(samples[:5], samples[5:], strict=True):
        np.testing.assert_array_equal(first, again)
    assert len({sample.tobytes() for sample in samples}) >= 3  # some options leave half of the samples alone


def test_a_rotation_is_one_in_mm():
    """With rows of 2 mm and columns of 1 mm, a turn keeps a disc of 10 mm a disc."""
    y, x = np.meshgrid(2.0 * (np.arange(31) - 15), np.arange(61) - 30.0, indexing="ij")
    disc = ((y**2 + x**2 < 100) * 0.5).astype(np.float32)[..., None]
    config = dataclasses.replace(STILL, max_rotation_degrees=45.0)
    for seed in range(4):
        turned, _ = augmentation.augment(
            tf.constant(disc), [], tf.constant([2.0, 1.0]), tf.constant([seed, 0]), config
        )
        assert np.abs(turned.numpy() - disc).mean() < 0.01


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
    found = augmentation.bent(tf.constant(image), tf.constant(gamma)).numpy()
    for moment in (np.mean, np.std):
        assert moment(found[inside]) == pytest.approx(moment(image[inside]), abs=1e-4)
    line = np.polyfit(image[inside] ** gamma, found[inside], 1)
    np.testing.assert_allclose(np.polyval(line, image[inside] ** gamma), found[inside], atol=1e-5)


def test_gamma_of_nothing_but_air_is_air():
    config = dataclasses.replace(STILL, max_gamma=0.5)
    assert not augment(np.zeros((8, 9, 1), np.float32), [], [1, 0], config)[0].any()


def test_air_does_not_blur_into_the_rest():
    """A constant disc stays as it is to its very border."""
    image = np.zeros((30, 30, 1), np.float32)
    image[8:20, 10:25] = 0.6
    config = dataclasses.replace(STILL, max_blur_mm=3.0, max_coarsening=3.0)
    for seed in range(6):
        np.testing.assert_allclose(augment(image, [], [seed, 0], config)[0], image, atol=1e-4)


def test_noise_is_at_most_what_the_option_says():
    image = np.full((100, 100, 1), 0.5, np.float32)
    config = dataclasses.replace(STILL, max_noise_hu=6.0)
    spreads = [augment(image, [], [seed, 0], config)[0].std() * 600 for seed in range(20)]
    assert max(spreads) < 6.1 and np.std(spreads) > 0.6


@pytest.mark.parametrize("shape", SHAPES)
def test_compiled_samples_are_the_same(shape):
    """XLA may round otherwise, no more."""
    image, label = with_body(shape), (with_body(shape) > 0.5).astype(np.float32)

    def change(image, label, seed):
        return augmentation.augment(image, [(label, 0.0)], tf.ones([len(shape)]), seed, EVERYTHING)

    for seed in range(3):
        plain, [mask] = augment(image, [(label, 0.0)], [seed, 0], EVERYTHING)
        found, [moved] = augmentation.compiled(change)(tf.constant(image), tf.constant(label), tf.constant([seed, 0]))
        np.testing.assert_allclose(found, plain, atol=1e-3)
        np.testing.assert_allclose(moved, mask, atol=1e-3)
