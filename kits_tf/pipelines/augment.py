"""Random geometry, intensity, sharpness and noise in 2D and 3D; image and label move together, never mirrored.

Every draw is a function of the sample's seed. Images are in [0, 1] with air 0; voxels that are exactly 0 stay 0, like
the padding and the surroundings of a masked kidney in prediction. `shape` is (height, width) or (slices, rows,
columns). Rotation and displacement are computed in mm, so that anisotropic voxels do not distort them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from kits_tf.config import Config
from kits_tf.pipelines.sampling import bell, fold, uniform

CONTROL_POINTS = 16  # of an elastic field, along each axis; the field repeats beyond the last
SMALLEST = 1e-6  # keeps logarithms and quotients finite in air
SHARPEST = 1e-3  # voxels; a standard deviation below which nothing is blurred

Targets = Sequence[tuple[tf.Tensor, float]]


def compiled(function: Callable) -> Callable:
    """Compile a function with XLA, which changes each voxel in one pass: several times faster on CPUs."""
    return tf.function(function, autograph=False, jit_compile=True)


def augment(
    image: tf.Tensor, targets: Targets, spacing_mm: tf.Tensor, seed: tf.Tensor, config: Config
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Augment one sample; return its image and targets, interpolated linearly.

    Args:
        image: float32 [*shape, channels] in [0, 1].
        targets: (array [*shape, channels], value outside the image) to transform like the image.
        spacing_mm: float32 [axes].
        seed: int32 [2], of this sample.
        config: Its `max_` options bound the changes.
    """
    image, moved = _move(image, targets, spacing_mm, fold(seed, 0), config)
    image = _change_sharpness(image, spacing_mm, fold(seed, 1), config)
    return _change_intensity(image, fold(seed, 2), config), moved


def enlargement(num_axes: int, seed: tf.Tensor, config: Config) -> tf.Tensor:
    """Return the factor by which `augment` enlarges the sample of a seed."""
    return 1 + _geometry_draws(num_axes, fold(seed, 0))[0] * config.max_scaling


def _geometry_draws(num_axes: int, seed: tf.Tensor) -> tf.Tensor:
    """Return uniform numbers in [-1, 1): one for the scaling, then one for each plane of rotation."""
    return 2 * uniform([1 + len(rotation_planes(num_axes))], fold(seed, 0)) - 1


def _move(
    image: tf.Tensor, targets: Targets, spacing_mm: tf.Tensor, seed: tf.Tensor, config: Config
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Rotate, scale and deform image and targets in one interpolation."""
    shape = sides(image)
    if not (config.max_rotation_degrees or config.max_scaling or config.max_elastic_mm):
        return image, [tf.cast(target, tf.float32) for target, _ in targets]
    draws = _geometry_draws(len(shape), seed)
    angles = draws[1:] * (config.max_rotation_degrees * math.pi / 180)
    matrix = source_matrix(angles, 1 + draws[0] * config.max_scaling, spacing_mm)
    field = None
    if config.max_elastic_mm:
        bound, distance = config.max_elastic_mm, config.elastic_mm
        field = displacement_mm(shape, spacing_mm, fold(seed, 1), bound, distance) / spacing_mm
    return warp(image, targets, source_positions(shape, matrix, field))


def _change_sharpness(image: tf.Tensor, spacing_mm: tf.Tensor, seed: tf.Tensor, config: Config) -> tf.Tensor:
    """Blur and coarsen, each in half of the samples; air stays air, and does not blur into the rest."""
    if not (config.max_blur_mm or config.max_coarsening):
        return image
    numbers = uniform([4], seed)
    sigma = tf.where(numbers[0] < 0.5, config.max_blur_mm * numbers[1], 0.0) / spacing_mm
    factor = tf.where(numbers[2] < 0.5, 1 + config.max_coarsening * numbers[3], 1.0)

    def softened() -> tf.Tensor:
        inside = tf.cast(tf.reduce_max(image, axis=-1, keepdims=True) > 0, tf.float32)
        both = soften(tf.concat([image, inside], axis=-1), sigma, factor)
        return tf.where(image > 0, both[..., :-1] / tf.maximum(both[..., -1:], SMALLEST), 0.0)

    return tf.cond((tf.reduce_max(sigma) > 0) | (factor > 1), softened, lambda: image)


def _change_intensity(image: tf.Tensor, seed: tf.Tensor, config: Config) -> tf.Tensor:
    """Apply gamma, gain, shift and white noise, clipped to [0, 1]; air stays air."""
    unit = 1 / (config.clip_high_hu - config.clip_low_hu)  # a HU in the scaled range
    numbers, draws = uniform([], fold(seed, 0)), 2 * uniform([3], fold(seed, 1)) - 1
    changed = image
    if config.max_gamma:
        changed = bend(image, tf.exp(math.log(1 + config.max_gamma) * draws[2]))
    changed = changed * (1 + draws[0] * config.max_intensity_scaling) + draws[1] * config.max_shift_hu * unit
    if config.max_noise_hu:
        changed += config.max_noise_hu * unit * numbers * bell(tf.shape(image), fold(seed, 2))
    return tf.where(image > 0, tf.clip_by_value(changed, 0.0, 1.0), 0.0)


def bend(image: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """Return image ** gamma, brought back to the image's mean and standard deviation outside of air.

    Without that, a gamma moves soft tissue by hundreds of HU where the range of HU is wide.
    """
    inside = tf.cast(image > 0, tf.float32)
    power = tf.exp(gamma * tf.math.log(tf.maximum(image, SMALLEST)))  # a third of the time of image ** gamma
    count = tf.maximum(tf.reduce_sum(inside), 1.0)

    def moments(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mean = tf.reduce_sum(values * inside) / count
        return mean, tf.sqrt(tf.reduce_sum(inside * (values - mean) ** 2) / count)

    (mean, deviation), (new_mean, new_deviation) = moments(image), moments(power)
    return mean + (power - new_mean) * (deviation / tf.maximum(new_deviation, SMALLEST))


def sides(image: tf.Tensor) -> list[int | tf.Tensor]:
    """Return the sides of an image [*shape, channels]: ints where they are static, else int32 tensors."""
    return [size or tf.shape(image)[axis] for axis, size in enumerate(image.shape[:-1])]


def _steps(size: int | tf.Tensor) -> tf.Tensor:
    """Return 0, 1, ... below a side, float32 [size]."""
    return tf.cast(tf.range(size), tf.float32)


def rotation_planes(num_axes: int) -> list[tuple[int, int]]:
    """Return the planes of rotation as pairs of axes: one in 2D; in 3D three, the axial one first."""
    return list(itertools.combinations(range(num_axes), 2))[::-1]


def source_matrix(angles: tf.Tensor, factor: tf.Tensor, spacing_mm: tf.Tensor) -> tf.Tensor:
    """Return where an output voxel is read, as a matrix [axes, axes] of offsets from the centre in voxels.

    An output voxel at an offset d in mm is read at R d / factor. A positive angle (radians, one for each of
    `rotation_planes`) in the plane of height and width moves what is right of the centre upwards.
    """
    num_axes = spacing_mm.shape[0]
    rotation = tf.eye(num_axes)
    for angle, plane in zip(tf.unstack(angles), rotation_planes(num_axes), strict=True):
        first, second = (tf.one_hot(axis, num_axes) for axis in plane)
        both = tf.linalg.diag(first + second)
        across = first[:, None] * second[None, :]
        turned = tf.cos(angle) * both + tf.sin(angle) * (across - tf.transpose(across))
        rotation = rotation @ (tf.eye(num_axes) - both + turned)
    return rotation * spacing_mm[None, :] / (factor * spacing_mm[:, None])


def displacement_mm(
    shape: Sequence[int | tf.Tensor], spacing_mm: tf.Tensor, seed: tf.Tensor, max_mm: float, distance_mm: float
) -> tf.Tensor:
    """Return a smooth random field, float32 [*shape, axes]: uniform control points with a cubic B-spline between.

    `max_mm` bounds the displacement along each axis; neighbouring control points are `distance_mm` apart.
    """
    field = max_mm * (2 * uniform([CONTROL_POINTS] * len(shape) + [len(shape)], seed) - 1)
    for axis, size in enumerate(shape):
        places = _steps(size) * spacing_mm[axis] / distance_mm
        field = along(spline_weights(places), field, axis)
    return field


def spline_weights(places: tf.Tensor) -> tf.Tensor:
    """Return the weights [n, CONTROL_POINTS] of control points at places [n], in units of their distance."""
    half = CONTROL_POINTS / 2
    offsets = places[:, None] - _steps(CONTROL_POINTS)
    reach = tf.abs(tf.math.floormod(offsets + half, CONTROL_POINTS) - half)
    inner, outer = 2 / 3 - reach**2 + reach**3 / 2, tf.maximum(2 - reach, 0) ** 3 / 6
    return tf.where(reach < 1, inner, outer)


def source_positions(
    shape: Sequence[int | tf.Tensor], matrix: tf.Tensor, field: tf.Tensor | None = None
) -> list[tf.Tensor]:
    """Return the input position of each output voxel, by axis: `matrix` from the centre, plus a field in voxels."""
    centres = [tf.cast(size - 1, tf.float32) / 2 for size in shape]
    columns = [[-1] + [1] * (len(shape) - 1 - axis) for axis in range(len(shape))]
    offsets = [tf.reshape(_steps(s) - c, column) for s, c, column in zip(shape, centres, columns, strict=True)]
    positions = [
        sum(matrix[axis, k] * offset for k, offset in enumerate(offsets)) + centre
        for axis, centre in enumerate(centres)
    ]
    return positions if field is None else [p + f for p, f in zip(positions, tf.unstack(field, axis=-1), strict=True)]


def warp(image: tf.Tensor, targets: Targets, positions: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Read an image, air outside, and its targets at the same positions; see `augment` for the arguments."""
    stacked = tf.concat([image] + [tf.cast(target, tf.float32) - outside for target, outside in targets], axis=-1)
    first = tf.reshape(positions[0], [-1])[0]
    # Always true. Without the branch, XLA recomputes the result for each of its consumers, four times as slowly.
    moved = tf.cond(tf.math.is_finite(first), lambda: _read(stacked, positions), lambda: stacked)
    parts = tf.split(moved, [image.shape[-1], *(target.shape[-1] for target, _ in targets)], axis=-1)
    return parts[0], [part + outside for part, (_, outside) in zip(parts[1:], targets, strict=True)]


def _read(array: tf.Tensor, positions: Sequence[tf.Tensor]) -> tf.Tensor:
    """Read an array [*shape, channels] linearly at positions; zeros beyond its border."""
    padded = tf.pad(array, [[1, 1]] * len(positions) + [[0, 0]])
    flat = tf.reshape(padded, [-1, array.shape[-1]])
    lengths = [size + 2 for size in sides(array)]
    strides = [math.prod(lengths[axis + 1 :]) for axis in range(len(lengths))]
    corner, shares = 0, []
    for position, length, stride in zip(positions, lengths, strides, strict=True):
        last = tf.cast(length - 1, tf.float32)
        position = tf.clip_by_value(position + 1, 0.0, last)
        lower = tf.minimum(tf.floor(position), last - 1)
        shares.append((position - lower)[..., None])
        corner += tf.cast(lower, tf.int32) * stride

    def mixed(axis: int, index: tf.Tensor) -> tf.Tensor:
        if axis == len(lengths):
            return tf.gather(flat, index)
        low, high = mixed(axis + 1, index), mixed(axis + 1, index + strides[axis])
        return low + (high - low) * shares[axis]

    return mixed(0, corner)


def soften(image: tf.Tensor, sigma: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Return an image as a blurred scanner with larger voxels shows it, read linearly on the image's own grid.

    `sigma` is the blur's standard deviation along each axis, in voxels; `factor` how much larger voxels are.
    """
    for axis, size in enumerate(sides(image)):
        image = along(resolution_matrix(size, sigma[axis], factor), image, axis)
    return image


def resolution_matrix(size: int | tf.Tensor, sigma: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Return the matrix [size, size], with rows that sum to 1, by which `soften` blurs one axis.

    A large voxel is a mean of small ones with Gaussian weights. Their variance is that of the blur, and (factor^2 - 1)
    / 12, by which the variance of a box `factor` long exceeds that of a box 1 long.
    """
    places, size = _steps(size), tf.cast(size, tf.float32)
    count = tf.math.ceil(size / factor - 1e-4)
    large = tf.clip_by_value((places + 0.5) / factor - 0.5, 0.0, count - 1)
    lower = tf.floor(large)
    share = (large - lower)[:, None]
    deviation = tf.maximum(tf.sqrt(sigma**2 + (factor**2 - 1) / 12), SHARPEST)

    def voxels(numbers: tf.Tensor) -> tf.Tensor:
        centres = tf.minimum((numbers + 0.5) * factor - 0.5, size - 1)
        return tf.nn.softmax(-0.5 * ((places - centres[:, None]) / deviation) ** 2)

    return (1 - share) * voxels(lower) + share * voxels(tf.minimum(lower + 1, count - 1))


def along(matrix: tf.Tensor, array: tf.Tensor, axis: int) -> tf.Tensor:
    """Apply a matrix [n, size] to one axis of an array."""
    order = list(range(1, len(array.shape)))
    order.insert(axis, 0)
    return tf.transpose(tf.tensordot(matrix, array, axes=[[1], [axis]]), order)
