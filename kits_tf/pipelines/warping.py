"""Rotation, scaling and elastic fields of images and volumes: each output voxel is read somewhere in the input.

Axes are (height, width) or (slice, row, column). Angles and displacements are meant in mm, whatever the voxels' sides.
Where shapes are static, XLA can fuse all of this into a single loop.
"""

import itertools
import math

import tensorflow as tf

from kits_tf import arrays, geometry
from kits_tf.pipelines.sampling import uniform

CONTROL_POINTS = 16  # along each axis; the field repeats beyond the last, if the image reaches so far


def sides(image):
    """The sides of an image [*shape, channels]: ints where they are known, int32 tensors where not."""
    return [size or tf.shape(image)[axis] for axis, size in enumerate(image.shape[:-1])]


def steps(size):
    """0, 1, ... below a side: float32 [size]."""
    return tf.cast(tf.range(size), tf.float32)


def rotation_planes(num_axes):
    """The planes of rotation, as pairs of axes: one in 2D; in 3D three, the axial one first."""
    return list(itertools.combinations(range(num_axes), 2))[::-1]


def source_matrix(angles, factor, spacing_mm):
    """Where an output voxel is read, as a matrix of offsets from the centre, in voxels.

    With an offset d in mm the input is read at R d / factor. A positive angle in the plane of height and width moves
    what lies to the right of the centre upwards; a factor above one enlarges.

    Args:
        angles: radians, one for each of `rotation_planes`.
        factor: enlargement.
        spacing_mm: float32 [n], the voxels' sides.

    Returns:
        float32 [n, n].
    """
    num_axes = spacing_mm.shape[0]
    rotation = tf.eye(num_axes)
    for angle, plane in zip(tf.unstack(angles), rotation_planes(num_axes), strict=True):
        rotation = rotation @ plane_rotation(angle, plane, num_axes)
    return rotation * spacing_mm[None, :] / (factor * spacing_mm[:, None])


def plane_rotation(angle, plane, num_axes):
    """The rotation by an angle in the plane of two axes: float32 [n, n]."""
    first, second = (tf.one_hot(axis, num_axes) for axis in plane)
    outer = [[a[:, None] * b[None, :] for b in (first, second)] for a in (first, second)]
    turned = tf.cos(angle) * (outer[0][0] + outer[1][1]) + tf.sin(angle) * (outer[0][1] - outer[1][0])
    return tf.eye(num_axes) - outer[0][0] - outer[1][1] + turned


def displacement_mm(shape, spacing_mm, seed, max_mm, distance_mm):
    """A smooth random field: uniform numbers at control points, and a cubic B-spline between them.

    Args:
        shape: the image's n sides, in voxels.
        spacing_mm: float32 [n].
        seed: int32 [2].
        max_mm: bound of the displacement along each axis; it is seldom reached.
        distance_mm: of neighbouring control points.

    Returns:
        float32 [*shape, n].
    """
    num_axes = len(shape)
    field = max_mm * (2 * uniform([CONTROL_POINTS] * num_axes + [num_axes], seed) - 1)
    for axis, size in enumerate(shape):
        places = steps(size) * spacing_mm[axis] / distance_mm
        field = geometry.along(arrays.tensorflow(), spline_weights(places), field, axis)
    return field


def spline_weights(places):
    """Weights [n, CONTROL_POINTS] of the control points at places [n], in units of their distance."""
    half = CONTROL_POINTS / 2
    offsets = places[:, None] - steps(CONTROL_POINTS)
    reach = tf.abs(tf.math.floormod(offsets + half, CONTROL_POINTS) - half)
    inner, outer = 2 / 3 - reach**2 + reach**3 / 2, tf.maximum(2 - reach, 0) ** 3 / 6
    return tf.where(reach < 1, inner, outer)


def source_positions(shape, matrix, field=None):
    """Where each output voxel is read.

    Args:
        shape: the image's n sides.
        matrix: float32 [n, n], of offsets from the centre.
        field: displacement in voxels, [*shape, n], read on top of it; None for none.

    Returns:
        list of n positions along the axes, float32 that broadcast to `shape`.
    """
    num_axes = len(shape)
    centres = [tf.cast(size - 1, tf.float32) / 2 for size in shape]
    offsets = [
        tf.reshape(steps(size) - centre, [-1] + [1] * (num_axes - 1 - axis))
        for axis, (size, centre) in enumerate(zip(shape, centres, strict=True))
    ]
    positions = []
    for axis, centre in enumerate(centres):
        position = sum(matrix[axis, k] * offsets[k] for k in range(num_axes)) + centre
        positions.append(position if field is None else position + field[..., axis])
    return positions


def read_at(array, positions):
    """Reads an array [*shape, channels] linearly at positions; zeros beyond its border."""
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

    def mixed(axis, index):
        if axis == len(lengths):
            return tf.gather(flat, index)
        low, high = mixed(axis + 1, index), mixed(axis + 1, index + strides[axis])
        return low + (high - low) * shares[axis]

    return mixed(0, corner)


def warp(image, targets, positions):
    """Reads an image and what goes with it at the same positions.

    Args:
        image: float32 [*shape, channels]; zeros (air) come in at its borders.
        targets: list of (array [*shape, channels], value outside).
        positions: from `source_positions`.

    Returns:
        (image, list of targets), float32.
    """
    arrays = [image] + [tf.cast(target, tf.float32) - outside for target, outside in targets]
    stacked = tf.concat(arrays, axis=-1)
    first = tf.reshape(positions[0], [-1])[0]
    # Always true. Without a branch, XLA computes what is read anew for each of its readers, in four times the time.
    moved = tf.cond(tf.math.is_finite(first), lambda: read_at(stacked, positions), lambda: stacked)
    parts = tf.split(moved, [array.shape[-1] for array in arrays], axis=-1)
    return parts[0], [part + outside for part, (_, outside) in zip(parts[1:], targets, strict=True)]
