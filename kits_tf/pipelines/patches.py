"""Cuts patches of slabs from slices of a case."""

import typing

import tensorflow as tf

from kits_tf import geometry
from kits_tf.config import patch_size
from kits_tf.data.records import AIR_HU

PATCH_AXES = {"axial": (1, 2), "coronal": (0, 2), "sagittal": (0, 1)}  # a slab's height and width, as volume axes


def index_axis(plane):
    """The axis of a Content, and of a patch, along which the slices of a slab follow each other."""
    return 0 if plane == "axial" else 1


def with_index(pair, index, plane):
    """What belongs to height and width, with what belongs to the index put in its place: [3]."""
    axis = index_axis(plane)
    return [*pair[:axis], index, *pair[axis:]]


class Place(typing.NamedTuple):
    """Places in the frame: the index along the plane's axis, bounds in height and width, whether it is flipped."""

    index: tf.Tensor
    start: tf.Tensor
    stop: tf.Tensor
    flipped: tf.Tensor


class Content(typing.NamedTuple):
    """Slices of a case, turned so that patches are cut from rows of memory.

    Image and label are [index, height, width] in the axial plane, else [height, index, width]; `corner` is where they
    begin in the frame, in the same order, and `count` how many indices the frame has.
    """

    image: tf.Tensor
    label: tf.Tensor
    corner: tf.Tensor
    count: tf.Tensor


def turned(image, label, corner, frame, plane):
    """The Content of slices [slices, rows, columns]; to turn them once is cheaper than to cut across them often."""
    if plane == "sagittal":
        order = (0, 2, 1)
        image, label, corner = tf.transpose(image, order), tf.transpose(label, order), tf.gather(corner, order)
    return Content(image, label, corner, frame[geometry.AXIS[plane]])


def signature(config):
    """What `cut` returns, as {name: TensorSpec}."""
    size = patch_size(config)
    return {
        "slab": tf.TensorSpec(with_index(size, 3, config.plane), tf.int16),
        "label": tf.TensorSpec(with_index(size, 1, config.plane), tf.uint8),
    }


def cut(content, place, config):
    """Cuts one patch, padded with air: "slab" of HU with three slices, "label" with one, in the order of a Content."""
    neighbours = tf.clip_by_value(place.index + tf.constant([-1, 0, 1]), 0, content.count - 1)
    slab = box(content.image, neighbours, content.corner, place, config, outside=AIR_HU)
    label = box(content.label, neighbours[1:2], content.corner, place, config, outside=0)
    if config.mirror:
        slab, label = (
            tf.cond(place.flipped, lambda part=part: mirrored(part, place, config), lambda part=part: part)
            for part in (slab, label)
        )
    return {"slab": slab, "label": label}


def mirrored(patch, place, config):
    """A patch of a left half as if it were of a right one; what it lacks in width stays at the end."""
    if config.plane == "sagittal":
        return tf.reverse(patch, [1])
    lacking = patch_size(config)[1] - (place.stop[1] - place.start[1])
    return tf.roll(tf.reverse(patch, [2]), -lacking, axis=2)


def box(array, indices, corner, place, config, outside):
    """Some slices of a Content's array at a place; what is missing of the patch is `outside`."""
    axis, depth, extent = index_axis(config.plane), indices.shape[0], tf.shape(array)
    wanted = tf.stack(with_index(patch_size(config), depth, config.plane))
    begin = tf.stack(with_index(tf.unstack(place.start), corner[axis], config.plane)) - corner
    end = tf.stack(with_index(tf.unstack(place.stop), corner[axis] + depth, config.plane)) - corner
    indices = indices - corner[axis]
    is_there = tf.reshape((indices >= 0) & (indices < extent[axis]), with_index([1, 1], depth, config.plane))
    slices = tf.gather(array, tf.clip_by_value(indices, 0, extent[axis] - 1), axis=axis)
    slices = tf.where(is_there, slices, tf.constant(outside, array.dtype))
    low, high = (tf.clip_by_value(bound, 0, tf.shape(slices)) for bound in (begin, end))
    before = tf.clip_by_value(-begin, 0, wanted)
    widths = tf.stack([before, wanted - before - (high - low)], axis=1)
    part = tf.pad(tf.slice(slices, low, high - low), widths, constant_values=outside)
    return tf.ensure_shape(part, with_index(patch_size(config), depth, config.plane))


def channels_last(patch, plane):
    """A patch of `cut` as [height, width, slices]."""
    return tf.transpose(patch, (1, 2, 0) if plane == "axial" else (0, 2, 1))
