"""Random rotation, scaling, intensity and noise; image and label together, never a flip.

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
    image, targets = warp(image, targets, transform)
    gain, shift = 1 + draws[2] * config.max_intensity_scaling, draws[3] * config.max_intensity_shift
    return change_intensity(image, gain, shift, fold(seed, 1), config.max_noise), targets


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


def change_intensity(image, gain, shift, seed, max_noise):
    """Gain, shift and white noise, clipped to [0, 1]; air stays air."""
    changed = image * gain + shift
    if max_noise:
        deviation = max_noise * uniform([], fold(seed, 0))
        changed += deviation * normal(tf.shape(image), fold(seed, 1))
    return tf.where(image > 0, tf.clip_by_value(changed, 0.0, 1.0), 0.0)
