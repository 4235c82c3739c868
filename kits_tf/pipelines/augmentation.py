"""Random geometry, intensity, sharpness and noise in 2D and 3D; image and label together, never a flip.

Every draw is a function of the sample's seed. Images are scaled to [0, 1] with air 0; what is exactly air stays air,
so that padding and the surroundings of a masked kidney look as they do in prediction.
"""

import math

import tensorflow as tf

from kits_tf.pipelines import warping
from kits_tf.pipelines.sampling import bell, fold, uniform
from kits_tf.pipelines.softening import soften

SMALLEST = 1e-6  # keeps logarithms and quotients finite where there is nothing but air


def compiled(function):
    """The function compiled by XLA, which reads and changes each voxel in one pass: several times faster on CPUs."""
    return tf.function(function, autograph=False, jit_compile=True)


def augment(image, targets, spacing_mm, seed, config):
    """Augments one sample.

    Args:
        image: [*shape, channels] float32 in [0, 1]; `shape` is height and width, or slices, rows and columns.
        targets: list of (array [*shape, channels], value outside) that follow the image's geometry.
        spacing_mm: float32, one for each axis: a rotation is one in mm, not in voxels.
        seed: int32 [2], of this sample alone.
        config: a Config; the `max_` options matter here.

    Returns:
        (image, list of targets), interpolated linearly.
    """
    image, targets = move(image, targets, spacing_mm, fold(seed, 0), config)
    image = sharpness(image, spacing_mm, fold(seed, 1), config)
    return intensity(image, fold(seed, 2), config), targets


def move(image, targets, spacing_mm, seed, config):
    """Rotation, scaling and an elastic field, read at once."""
    shape = warping.sides(image)
    if not (config.max_rotation_degrees or config.max_scaling or config.max_elastic_mm):
        return image, [tf.cast(target, tf.float32) for target, _ in targets]
    draws = geometry_draws(len(shape), seed)
    angles = draws[1:] * (config.max_rotation_degrees * math.pi / 180)
    matrix = warping.source_matrix(angles, 1 + draws[0] * config.max_scaling, spacing_mm)
    field = None
    if config.max_elastic_mm:
        bound, distance = config.max_elastic_mm, config.elastic_mm
        field = warping.displacement_mm(shape, spacing_mm, fold(seed, 1), bound, distance) / spacing_mm
    return warping.warp(image, targets, warping.source_positions(shape, matrix, field))


def geometry_draws(num_axes, seed):
    """Uniform numbers in [-1, 1): one for the scaling, then one for each plane of rotation."""
    return 2 * uniform([1 + len(warping.rotation_planes(num_axes))], fold(seed, 0)) - 1


def enlargement(num_axes, seed, config):
    """The factor that `augment` enlarges a sample by.

    Args:
        num_axes: 2 or 3.
        seed: the one that `augment` was given.
        config: a Config.
    """
    return 1 + geometry_draws(num_axes, fold(seed, 0))[0] * config.max_scaling


def sharpness(image, spacing_mm, seed, config):
    """Blur and low resolution, each in half of the samples; air stays air, and does not blur into the rest."""
    if not (config.max_blur_mm or config.max_coarsening):
        return image
    numbers = uniform([4], seed)
    sigma = tf.where(numbers[0] < 0.5, config.max_blur_mm * numbers[1], 0.0) / spacing_mm
    factor = tf.where(numbers[2] < 0.5, 1 + config.max_coarsening * numbers[3], 1.0)

    def softened():
        inside = tf.cast(tf.reduce_max(image, axis=-1, keepdims=True) > 0, tf.float32)
        both = soften(tf.concat([image, inside], axis=-1), sigma, factor)
        return tf.where(image > 0, both[..., :-1] / tf.maximum(both[..., -1:], SMALLEST), 0.0)

    return tf.cond((tf.reduce_max(sigma) > 0) | (factor > 1), softened, lambda: image)


def intensity(image, seed, config):
    """Gamma, gain, shift and white noise, clipped to [0, 1]; air stays air."""
    unit = 1 / (config.clip_high_hu - config.clip_low_hu)  # a HU in the scaled range
    numbers, draws = uniform([], fold(seed, 0)), 2 * uniform([3], fold(seed, 1)) - 1
    changed = image
    if config.max_gamma:
        changed = bent(image, tf.exp(math.log(1 + config.max_gamma) * draws[2]))
    changed = changed * (1 + draws[0] * config.max_intensity_scaling) + draws[1] * config.max_shift_hu * unit
    if config.max_noise_hu:
        changed += config.max_noise_hu * unit * numbers * bell(tf.shape(image), fold(seed, 2))
    return tf.where(image > 0, tf.clip_by_value(changed, 0.0, 1.0), 0.0)


def bent(image, gamma):
    """image ** gamma, brought back to the mean and the standard deviation that the image has where it is not air.

    Without that, a gamma moves soft tissue by hundreds of HU where the range of HU is wide.
    """
    inside = tf.cast(image > 0, tf.float32)
    power = tf.exp(gamma * tf.math.log(tf.maximum(image, SMALLEST)))  # a third of the time of image ** gamma
    count = tf.maximum(tf.reduce_sum(inside), 1.0)

    def moments(values):
        mean = tf.reduce_sum(values * inside) / count
        return mean, tf.sqrt(tf.reduce_sum(inside * (values - mean) ** 2) / count)

    (mean, deviation), (new_mean, new_deviation) = moments(image), moments(power)
    return mean + (power - new_mean) * (deviation / tf.maximum(new_deviation, SMALLEST))
