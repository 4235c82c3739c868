"""Blur and low resolution, in one linear step along each axis."""

import tensorflow as tf

from kits_tf import arrays, geometry
from kits_tf.pipelines.warping import sides, steps

SHARPEST = 1e-3  # voxels; a standard deviation below which nothing is blurred


def soften(image, sigma, factor):
    """An image as a blurred scanner with larger voxels would have it, read linearly on the image's own grid.

    Args:
        image: float32 [*shape, channels].
        sigma: standard deviation of a Gaussian blur along each axis, in voxels: float32 [n].
        factor: how much larger voxels are, 1 or above.

    Returns:
        float32, the image's shape; the image itself for sigma 0 and factor 1.
    """
    for axis, size in enumerate(sides(image)):
        image = geometry.along(arrays.tensorflow(), resolution_matrix(size, sigma[axis], factor), image, axis)
    return image


def resolution_matrix(size, sigma, factor):
    """What `soften` does along one axis, as a matrix [size, size] whose rows sum to 1.

    A large voxel is a mean of small ones with Gaussian weights. Their variance is that of the blur, and (factor^2 - 1)
    / 12, by which the variance of a box `factor` long exceeds that of a box 1 long.
    """
    places, size = steps(size), tf.cast(size, tf.float32)
    count = tf.math.ceil(size / factor - 1e-4)
    large = tf.clip_by_value((places + 0.5) / factor - 0.5, 0.0, count - 1)
    lower = tf.floor(large)
    share = (large - lower)[:, None]
    deviation = tf.maximum(tf.sqrt(sigma**2 + (factor**2 - 1) / 12), SHARPEST)

    def voxels(numbers):
        centres = tf.minimum((numbers + 0.5) * factor - 0.5, size - 1)
        return tf.nn.softmax(-0.5 * ((places - centres[:, None]) / deviation) ** 2)

    return (1 - share) * voxels(lower) + share * voxels(tf.minimum(lower + 1, count - 1))
