"""Random geometry, intensity, sharpness and noise; image and label together, never a flip.

Every draw is a function of the sample's seed. Images are scaled to [0, 1] with air 0; what is exactly air stays air,
so that padding and the surroundings of a masked kidney look as they do in prediction.
"""

import math

import tensorflow as tf

from kits_tf.pipelines.sampling import fold, normal, uniform


def augment(image, targets, pixel_mm, seed, config):
    """Augments one sample.

    Args:
        image: [height, width, channels] float32 in [0, 1].
        targets: list of (array [height, width, channels], value outside) that follow the image's geometry.
        pixel_mm: [2] float32, pixel size along height and width: a rotation is one in mm, not in pixels.
        seed: int32 [2], of this sample alone.
        config: a Config; the `max_` options matter here.

    Returns:
        (image, list of targets), interpolated linearly.
    """
    draws = 2 * uniform([4], fold(seed, 0)) - 1
    transform = projective_transform(
        tf.shape(image)[:2],
        pixel_mm,
        angle=draws[0] * (config.max_rotation_degrees * math.pi / 180),
        factor=1 + draws[1] * config.max_scaling,
    )
    if config.max_elastic_mm:
        field_mm = displacement_mm(tf.shape(image)[:2], pixel_mm, fold(seed, 2), config)
        image, targets = bend(image, targets, transform, field_mm / pixel_mm)
    else:
        image, targets = warp(image, targets, transform)
    image = soften(image, pixel_mm, fold(seed, 3), config)
    unit = 1 / (config.clip_high_hu - config.clip_low_hu)  # a HU in the scaled range
    gain, shift = 1 + draws[2] * config.max_intensity_scaling, draws[3] * config.max_shift_hu * unit
    if config.max_gamma:
        power = math.log(1 + config.max_gamma) * (2 * uniform([], fold(seed, 4)) - 1)
        image = tf.maximum(image, 0.0) ** tf.exp(power)
    return change_intensity(image, gain, shift, fold(seed, 1), config.max_noise_hu * unit), targets


def projective_transform(size, pixel_mm, angle, factor):
    """Where each output pixel is read: a rotation and scaling about the centre, for ImageProjectiveTransformV3.

    With offsets d from the centre in mm, the input is read at R(angle) d / factor; a positive angle moves what lies to
    the right of the centre upwards, a factor above one enlarges.

    Args:
        size: int32 [2], height and width.
        pixel_mm: float32 [2].
        angle: radians.
        factor: enlargement.

    Returns:
        [1, 8] float32.
    """
    centre_y, centre_x = tf.unstack((tf.cast(size, tf.float32) - 1) / 2)
    aspect = pixel_mm[0] / pixel_mm[1]
    cosine, sine = tf.cos(angle) / factor, tf.sin(angle) / factor
    xx, xy, yx, yy = cosine, -sine * aspect, sine / aspect, cosine
    x0 = centre_x - xx * centre_x - xy * centre_y
    y0 = centre_y - yx * centre_x - yy * centre_y
    return tf.stack([xx, xy, x0, yx, yy, y0, tf.zeros_like(x0), tf.zeros_like(x0)])[None]


def warp(image, targets, transform):
    """Applies one transform to an image and its targets, all at once; zeros (air) come in at the image's borders."""
    arrays = [image] + [tf.cast(target, tf.float32) - outside for target, outside in targets]
    channels = [tf.shape(array)[-1] for array in arrays]
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.concat(arrays, axis=-1)[None],
        transforms=transform,
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
    parts = [tf.ensure_shape(p, a.shape) for p, a in zip(tf.split(warped, channels, axis=-1), arrays, strict=True)]
    return parts[0], [part + outside for part, (_, outside) in zip(parts[1:], targets, strict=True)]


def displacement_mm(size, pixel_mm, seed, config):
    """A smooth random field [height, width, 2] in mm, (down, right): uniform at control points, cubic between them."""
    points = tf.cast(tf.math.ceil(tf.cast(size, tf.float32) * pixel_mm / config.elastic_mm), tf.int32) + 2
    field = config.max_elastic_mm * (2 * uniform(tf.concat([points, [2]], axis=0), seed) - 1)
    return tf.image.resize(field[None], size, method="bicubic")[0]


def bend(image, targets, transform, field):
    """As `warp`, but each output pixel is read a displacement further, in pixels [height, width, 2]."""
    arrays = [image] + [tf.cast(target, tf.float32) - outside for target, outside in targets]
    channels = [array.shape[-1] or tf.shape(array)[-1] for array in arrays]
    stacked = tf.concat(arrays, axis=-1)
    height, width = tf.unstack(tf.shape(image)[:2])
    y, x = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    y, x = tf.cast(y, tf.float32) + field[..., 0], tf.cast(x, tf.float32) + field[..., 1]
    xx, xy, x0, yx, yy, y0 = tf.unstack(transform[0, :6])
    bent = bilinear(stacked, yx * x + yy * y + y0, xx * x + xy * y + x0)
    parts = [tf.ensure_shape(p, a.shape) for p, a in zip(tf.split(bent, channels, axis=-1), arrays, strict=True)]
    return parts[0], [part + outside for part, (_, outside) in zip(parts[1:], targets, strict=True)]


def bilinear(array, y, x):
    """Reads [height, width, channels] linearly at positions y and x, float32 [h, w]; zeros beyond the border."""
    padded = tf.pad(array, [[1, 1], [1, 1], [0, 0]])
    limit = tf.cast(tf.shape(padded)[:2] - 1, tf.float32)
    y, x = tf.clip_by_value(y + 1, 0.0, limit[0]), tf.clip_by_value(x + 1, 0.0, limit[1])
    top, left = tf.minimum(tf.floor(y), limit[0] - 1), tf.minimum(tf.floor(x), limit[1] - 1)
    down, right = (y - top)[..., None], (x - left)[..., None]
    corner = tf.stack([tf.cast(top, tf.int32), tf.cast(left, tf.int32)], axis=-1)
    upper = tf.gather_nd(padded, corner) * (1 - right) + tf.gather_nd(padded, corner + [0, 1]) * right
    lower = tf.gather_nd(padded, corner + [1, 0]) * (1 - right) + tf.gather_nd(padded, corner + [1, 1]) * right
    return upper * (1 - down) + lower * down


def soften(image, pixel_mm, seed, config):
    """Blurs, and coarsens and restores, each in half of the samples; what was air stays air."""
    numbers, soft = uniform([4], seed), image
    if config.max_blur_mm:
        sigma = tf.where(numbers[0] < 0.5, config.max_blur_mm * numbers[1], 0.0) / pixel_mm
        soft = blur(soft, sigma)
    if config.max_coarsening:
        factor = tf.where(numbers[2] < 0.5, 1 + config.max_coarsening * numbers[3], 1.0)
        size = tf.shape(image)[:2]
        coarse = tf.maximum(tf.cast(tf.round(tf.cast(size, tf.float32) / factor), tf.int32), 1)
        soft = tf.image.resize(tf.image.resize(soft, coarse, antialias=True), size)
    return soft if soft is image else tf.where(image > 0, tf.ensure_shape(soft, image.shape), 0.0)


def blur(image, sigma):
    """A Gaussian of a standard deviation along height and width, in pixels [2]; zeros beyond the border."""
    for axis in range(2):
        reach = tf.cast(tf.math.ceil(3 * sigma[axis]), tf.int32)
        offsets = tf.cast(tf.range(-reach, reach + 1), tf.float32)
        weights = tf.exp(-0.5 * tf.square(offsets / tf.maximum(sigma[axis], 1e-3)))
        weights /= tf.reduce_sum(weights)
        shape = [-1, 1, 1, 1] if axis == 0 else [1, -1, 1, 1]
        planes = tf.transpose(image, (2, 0, 1))[..., None]
        planes = tf.nn.conv2d(planes, tf.reshape(weights, shape), 1, "SAME")
        image = tf.transpose(planes[..., 0], (1, 2, 0))
    return image


def change_intensity(image, gain, shift, seed, max_noise):
    """Gain, shift and white noise, clipped to [0, 1]; air stays air."""
    changed = image * gain + shift
    if max_noise:
        deviation = max_noise * uniform([], fold(seed, 0))
        changed += deviation * normal(tf.shape(image), fold(seed, 1))
    return tf.where(image > 0, tf.clip_by_value(changed, 0.0, 1.0), 0.0)
