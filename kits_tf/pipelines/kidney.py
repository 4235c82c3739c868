"""Stage 1's samples: random patches of half-slabs in one plane.

A visit reads only a window of a case's slices, so that memory does not grow with the case. The axial windows tile the
case, and one is drawn with a probability in proportion to its slices (to its foreground voxels, for samples around
foreground): over the visits, every slice is equally likely. The coronal and sagittal patches of a visit share their
slices and differ in their position within them.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from kits_tf import arrays, geometry
from kits_tf.config import KidneyConfig, patch_size
from kits_tf.data.records import AIR_HU, read_header, read_slices
from kits_tf.pipelines import sampling
from kits_tf.pipelines.augment import augment, compiled

PER_VISIT = {"axial": 32, "coronal": 128, "sagittal": 96}  # on the native grid: four to six million pixels
PER_WORKING_VISIT = 16  # on a coarser grid opening a case is cheap, and more cases a step are better
AXIAL_WINDOW = 32  # slices
PATCH_AXES = {"axial": (1, 2), "coronal": (0, 2), "sagittal": (0, 1)}  # a slab's height and width, as volume axes
INDEX_AXIS = {"axial": 0, "coronal": 1, "sagittal": 1}  # of a Content and of a patch: the slices of a slab follow it

Window = tuple[tf.Tensor, tf.Tensor]
Case = dict[str, tf.Tensor]


class Place(NamedTuple):
    """Places of patches."""

    index: tf.Tensor  # along the plane's axis
    start: tf.Tensor  # in height and width
    stop: tf.Tensor
    flipped: tf.Tensor


class Content(NamedTuple):
    """Slices of a case, transposed so that patches are contiguous."""

    image: tf.Tensor  # [index, height, width] in the axial plane, else [height, index, width]
    label: tf.Tensor  # the same
    corner: tf.Tensor  # where they begin in the frame, in the same order
    count: tf.Tensor  # number of indices of the frame


def per_visit(config: KidneyConfig) -> int:
    """Return how many samples are drawn each time a case is opened."""
    return PER_VISIT[config.plane] if geometry.is_native(config) else PER_WORKING_VISIT


def samples(
    records: Sequence[pathlib.Path], config: KidneyConfig, order: sampling.Order, step: int = 0
) -> tf.data.Dataset:
    """Return the endless data set of training samples of a plane.

    Args:
        records: Paths of records on the working grid.
        config: The network's config.
        order: The order of the records.
        step: The first step.

    Returns:
        Dicts of "slab", float32 [height, width, 3] in [0, 1], and "label", float32 [height, width, 1], 0 or 1.
    """
    paths = tf.constant([str(path) for path in records])
    drawn = sampling.samples_from(order, step, lambda case, seed: _visit(paths[case], seed, config, order.per_visit))
    return drawn.map(compiled(lambda sample: _finish(sample, config)), tf.data.AUTOTUNE, deterministic=True)


def _visit(path: tf.Tensor, seed: tf.Tensor, config: KidneyConfig, count: int) -> dict[str, tf.Tensor]:
    """Open a case and draw `count` patches: HU int16 and labels uint8, finished later."""
    case = _open_case(path, config)
    seeds = tf.random.stateless_uniform([count, 2], sampling.fold(seed, 1), None, None, tf.int32, alg="philox")
    if config.foreground_fraction:
        fraction = tf.where(tf.shape(case["foreground"])[0] > 0, config.foreground_fraction, 0.0)
        on_foreground = sampling.uniform([count], sampling.fold(seed, 2)) < fraction
        groups = [tf.cast(tf.where(mask)[:, 0], tf.int32) for mask in (on_foreground, ~on_foreground)]
        parts = [
            _patches(path, case, tf.shape(group)[0], sampling.fold(seed, 3 + k), k == 0, config)
            for k, group in enumerate(groups)
        ]
        drawn = {name: tf.dynamic_stitch(groups, [part[name] for part in parts]) for name in parts[0]}
    else:
        drawn = _patches(path, case, count, sampling.fold(seed, 4), False, config)
    drawn = {name: tf.ensure_shape(values, [count, *values.shape[1:]]) for name, values in drawn.items()}
    pixel_mm = tf.cast(tf.gather(case["spacing_mm"], PATCH_AXES[config.plane]), tf.float32)
    return drawn | {"seed": seeds, "pixel_mm": tf.tile(pixel_mm[None], [count, 1])}


def _open_case(path: tf.Tensor, config: KidneyConfig) -> Case:
    """Return a record's header with the "frame" that the config works in, the body box or whole slices.

    "frame" is the frame's shape and "corner" where the record's arrays begin in it, int32 [3]; "foreground" is in it.
    """
    header = read_header(path)
    if config.body_box or not geometry.is_native(config):
        return header | {"frame": header["shape"], "corner": tf.zeros([3], tf.int32)}
    corner = tf.stack([0, header["box"][0], header["box"][2]])
    return header | {"frame": header["full_shape"], "corner": corner, "foreground": header["foreground"] + corner}


def _patches(
    path: tf.Tensor, case: Case, count: int | tf.Tensor, seed: tf.Tensor, on_foreground: bool, config: KidneyConfig
) -> dict[str, tf.Tensor]:
    """Draw patches from one window of a case: {"slab": int16, "label": uint8}, as `_cut` returns them."""
    window = _window(case, sampling.fold(seed, 0), on_foreground, config)
    places = _draw(case, count, sampling.fold(seed, 1), window, on_foreground, config)
    first, last = tf.maximum(window[0] - 1, 0), tf.minimum(window[1] + 1, case["frame"][0])
    image, label, offset = read_slices(path, case["shape"], first, last)
    corner = case["corner"] + tf.stack([offset, 0, 0])
    if config.plane == "sagittal":
        order = (0, 2, 1)
        image, label, corner = tf.transpose(image, order), tf.transpose(label, order), tf.gather(corner, order)
    content = Content(image, label, corner, case["frame"][geometry.AXIS[config.plane]])
    specs = {"slab": (3, tf.int16), "label": (1, tf.uint8)}
    shapes = {name: _with_index(patch_size(config), depth, config.plane) for name, (depth, _) in specs.items()}
    signature = {name: tf.TensorSpec(shapes[name], dtype) for name, (_, dtype) in specs.items()}
    return tf.map_fn(sampling.plain(lambda place: _cut(content, place, config)), places, fn_output_signature=signature)


def _window(case: Case, seed: tf.Tensor, on_foreground: bool, config: KidneyConfig) -> Window:
    """Return bounds of the slices to draw from: an axial tile, or the slices of a coronal or sagittal patch."""
    size, numbers = case["frame"][0], sampling.uniform([2], seed)
    anchor = _foreground(case["foreground"], numbers[:1])[0, 0] if on_foreground else sampling.below(numbers[0], size)
    if config.plane == "axial":
        start = anchor // AXIAL_WINDOW * AXIAL_WINDOW
        return start, tf.minimum(start + AXIAL_WINDOW, size)
    low, high = 0, tf.maximum(size - config.patch_slices, 0)
    if on_foreground:
        low, high = tf.maximum(low, anchor - config.patch_slices + 1), tf.minimum(high, anchor)
    start = low + sampling.below(numbers[1], high - low + 1)
    return start, tf.minimum(start + config.patch_slices, size)


def _foreground(voxels: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Return voxels [n, 3] of a list, drawn by numbers [n] in [0, 1); the case's first voxel from an empty list."""
    count = tf.shape(voxels)[0]
    return tf.gather(tf.pad(voxels, [[0, 1], [0, 0]]), sampling.below(numbers, tf.maximum(count, 1)))


def _draw(
    case: Case, count: int | tf.Tensor, seed: tf.Tensor, window: Window, on_foreground: bool, config: KidneyConfig
) -> Place:
    """Draw the places of `count` patches in a window: evenly over the half-slabs, or around foreground voxels."""
    frame, numbers = case["frame"], sampling.uniform([count, 5], seed)
    if on_foreground:
        slices = case["foreground"][:, 0]
        inside = tf.boolean_mask(case["foreground"], (window[0] <= slices) & (slices < window[1]))
        voxel = _foreground(inside, numbers[:, 0])
    else:
        low, high = (window[0], 0, 0), (window[1], frame[1], frame[2])
        voxel = tf.stack([low[k] + sampling.below(numbers[:, k], high[k] - low[k]) for k in range(3)], axis=1)
    is_left = voxel[:, 2] >= frame[2] // 2
    low, high = _half_bounds(frame, window, is_left, config)
    size = tf.constant(patch_size(config))
    first, last = low, tf.maximum(high - size, low)
    if on_foreground:
        position = tf.gather(voxel, PATCH_AXES[config.plane], axis=1)
        last = tf.minimum(last, tf.maximum(position, low))
        first = tf.minimum(tf.maximum(low, position - size + 1), last)
    start = first + sampling.below(numbers[:, 3:5], last - first + 1)
    flipped = is_left if config.mirror else tf.zeros_like(is_left)
    return Place(voxel[:, geometry.AXIS[config.plane]], start, tf.minimum(start + size, high), flipped)


def _half_bounds(frame: tf.Tensor, window: Window, is_left: tf.Tensor, config: KidneyConfig) -> Window:
    """Return the bounds, int32 [n, 2] for height and for width, of a half within the slab."""
    right, left = geometry.halves(arrays.tensorflow(), config.plane, frame, config.overlap)
    height = (0, frame[1]) if config.plane == "axial" else window
    low, high = (tf.where(is_left, left.columns[k], right.columns[k]) for k in (0, 1))
    low, high = (tf.stack([tf.fill(tf.shape(w), h), w], axis=1) for h, w in zip(height, (low, high), strict=True))
    return low, high


def _with_index(pair: Sequence[Any], index: Any, plane: str) -> list[Any]:
    """Insert the slab axis's value into a (height, width) pair, in the axis order of a Content."""
    return [*pair[: INDEX_AXIS[plane]], index, *pair[INDEX_AXIS[plane] :]]


def _cut(content: Content, place: Place, config: KidneyConfig) -> dict[str, tf.Tensor]:
    """Cut one patch, padded with air: "slab" of three slices and "label" of one, in the order of a Content."""
    neighbours = tf.clip_by_value(place.index + tf.constant([-1, 0, 1]), 0, content.count - 1)
    patch = {
        "slab": _box(content.image, neighbours, content.corner, place, config, outside=AIR_HU),
        "label": _box(content.label, neighbours[1:2], content.corner, place, config, outside=0),
    }
    if not config.mirror:
        return patch
    axis = 1 if config.plane == "sagittal" else 2
    lacking = patch_size(config)[1] - (place.stop[1] - place.start[1]) if axis == 2 else 0

    def mirrored() -> dict[str, tf.Tensor]:  # a left half as if it were a right one; padding in width stays at the end
        return {name: tf.roll(tf.reverse(part, [axis]), -lacking, axis) for name, part in patch.items()}

    return tf.cond(place.flipped, mirrored, lambda: patch)


def _box(
    array: tf.Tensor, indices: tf.Tensor, corner: tf.Tensor, place: Place, config: KidneyConfig, outside: int
) -> tf.Tensor:
    """Cut a patch out of some slices of a Content's array; voxels beyond the array are filled with `outside`."""
    axis, depth, extent = INDEX_AXIS[config.plane], indices.shape[0], tf.shape(array)
    wanted = tf.stack(_with_index(patch_size(config), depth, config.plane))
    begin = tf.stack(_with_index(tf.unstack(place.start), corner[axis], config.plane)) - corner
    end = tf.stack(_with_index(tf.unstack(place.stop), corner[axis] + depth, config.plane)) - corner
    indices = indices - corner[axis]
    is_there = tf.reshape((indices >= 0) & (indices < extent[axis]), _with_index([1, 1], depth, config.plane))
    slices = tf.gather(array, tf.clip_by_value(indices, 0, extent[axis] - 1), axis=axis)
    slices = tf.where(is_there, slices, tf.constant(outside, array.dtype))
    low, high = (tf.clip_by_value(bound, 0, tf.shape(slices)) for bound in (begin, end))
    before = tf.clip_by_value(-begin, 0, wanted)
    widths = tf.stack([before, wanted - before - (high - low)], axis=1)
    part = tf.pad(tf.slice(slices, low, high - low), widths, constant_values=outside)
    return tf.ensure_shape(part, _with_index(patch_size(config), depth, config.plane))


def _finish(sample: dict[str, tf.Tensor], config: KidneyConfig) -> dict[str, tf.Tensor]:
    """Scale and augment one drawn sample; the slab's slices become channels, the label 0 or 1."""
    order = (1, 2, 0) if config.plane == "axial" else (0, 2, 1)
    slab = geometry.scale(arrays.tensorflow(), tf.transpose(sample["slab"], order), config.clip_hu)
    label = tf.cast(tf.transpose(sample["label"], order) > 0, tf.float32)
    if config.augment:
        slab, [label] = augment(slab, [(label, 0.0)], sample["pixel_mm"], sampling.fold(sample["seed"], 2), config)
        label = tf.cast(label >= 0.5, tf.float32)
    return {"slab": slab, "label": label}
