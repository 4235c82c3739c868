"""Stage 1's samples: random patches of half-slabs in one plane."""

import typing

import tensorflow as tf

from kits_tf import arrays, geometry
from kits_tf.dataset import prepared
from kits_tf.pipelines import sampling
from kits_tf.pipelines.augmentation import augment

PER_VISIT = 16
PATCH_AXES = {"axial": (1, 2), "coronal": (0, 2), "sagittal": (0, 1)}  # a slab's height and width, as volume axes


def patch_size(config):
    """Height and width of a training patch, in pixels of the working grid."""
    return {
        "axial": (config.patch_rows, config.patch_columns),
        "coronal": (config.patch_slices, config.patch_columns),
        "sagittal": (config.patch_slices, config.patch_rows),
    }[config.plane]


def samples(records, config, order, step=0):
    """The endless data set of training samples of a plane.

    Args:
        records: paths of records on the working grid (see `dataset.working`).
        config: a KidneyConfig.
        order: a sampling.Order over the records.
        step: where to start.

    Returns:
        tf.data.Dataset of {"slab": [height, width, 3] float32 in [0, 1], "label": [height, width, 1] float32 0 or 1}.
    """
    paths = tf.constant([str(path) for path in records])
    drawn = sampling.samples_from(order, step, lambda case, seed: visit(paths[case], seed, config, order.per_visit))
    return drawn.map(sampling.plain(lambda sample: finish(sample, config)), tf.data.AUTOTUNE, deterministic=True)


def visit(path, seed, config, count):
    """Opens a case and draws `count` patches; HU int16 and labels uint8, to be finished later."""
    case = open_case(path, config)
    height, width = patch_size(config)
    signature = {
        "slab": tf.TensorSpec([height, width, 3], tf.int16),
        "label": tf.TensorSpec([height, width, 1], tf.uint8),
    }
    seeds = tf.map_fn(lambda k: sampling.fold(seed, k), tf.range(count))
    patches = tf.map_fn(lambda s: cut(case, draw(case, s, config), config), seeds, fn_output_signature=signature)
    axes = PATCH_AXES[config.plane]
    pixel_mm = tf.cast(tf.gather(case["spacing_mm"], axes), tf.float32)
    return patches | {"seed": seeds, "pixel_mm": tf.tile(pixel_mm[None], [count, 1])}


def open_case(path, config):
    """A record's tensors; whole slices restored, filled with air, where the config works on them."""
    case = prepared.read_tensors(path)
    if config.body_box or config.inplane_mm:
        return case
    box, full = case["box"], case["full_shape"]
    widths = [[0, 0], [box[0], full[1] - box[1]], [box[2], full[2] - box[3]]]
    return case | {
        "image": tf.pad(case["image"], widths, constant_values=prepared.AIR_HU),
        "label": tf.pad(case["label"], widths),
        "foreground": case["foreground"] + tf.stack([0, box[0], box[2]]),
    }


class Patch(typing.NamedTuple):
    """A patch's place: the index along the plane's axis, its bounds in height and width, whether it is flipped."""

    index: tf.Tensor
    start: tf.Tensor
    stop: tf.Tensor
    flipped: tf.Tensor


def draw(case, seed, config):
    """Draws a Patch: evenly over the half-slabs, or around a random foreground voxel.

    Args:
        case: tensors of `open_case`.
        seed: int32 [2], of this sample.
        config: a KidneyConfig; `foreground_fraction` is the share of samples around foreground.
    """
    shape = tf.shape(case["image"])
    numbers = sampling.uniform([6], sampling.fold(seed, 1))
    voxels = case["foreground"]
    count = tf.shape(voxels)[0]
    on_foreground = (numbers[0] < config.foreground_fraction) & (count > 0)
    anywhere = tf.stack([sampling.below(numbers[1 + axis], shape[axis]) for axis in range(3)])
    chosen = tf.concat([voxels, anywhere[None]], axis=0)[sampling.below(numbers[1], tf.maximum(count, 1))]
    voxel = tf.where(on_foreground, chosen, anywhere)
    is_left = voxel[2] >= shape[2] // 2
    low, high = half_bounds(shape, is_left, config)
    size = tf.constant(patch_size(config))
    axes = PATCH_AXES[config.plane]
    position = tf.gather(voxel, axes)
    first = tf.where(on_foreground, tf.maximum(low, position - size + 1), low)
    last = tf.maximum(high - size, low)
    last = tf.where(on_foreground, tf.minimum(last, tf.maximum(position, low)), last)
    first = tf.minimum(first, last)
    spread = tf.cast(last - first + 1, tf.float32)
    start = tf.minimum(first + tf.cast(numbers[4:6] * spread, tf.int32), last)
    flipped = is_left if config.mirror else tf.constant(False)
    return Patch(voxel[geometry.AXIS[config.plane]], start, tf.minimum(start + size, high), flipped)


def half_bounds(shape, is_left, config):
    """Bounds in height and width, two int32 [2], of what a half sees of the slab."""
    right, left = geometry.halves(arrays.tensorflow(), config.plane, shape, config.overlap)
    height = shape[PATCH_AXES[config.plane][0]]
    low = tf.where(is_left, left.columns[0], right.columns[0])
    high = tf.where(is_left, left.columns[1], right.columns[1])
    return tf.stack([0, low]), tf.stack([height, high])


def cut(case, patch, config):
    """Cuts a Patch: {"slab": int16 [height, width, 3], "label": uint8 [height, width, 1]}, air-padded at the ends."""
    axis, axes = geometry.AXIS[config.plane], PATCH_AXES[config.plane]
    begin = tf.maximum(patch.index - 1, 0)
    end = tf.minimum(patch.index + 2, tf.shape(case["image"])[axis])
    part = window(case["image"], (axis, *axes), (begin, *tf.unstack(patch.start)), (end, *tf.unstack(patch.stop)))
    slab = geometry.slabs(arrays.tensorflow(), part, config.plane, (patch.index - begin)[None])[0]
    centre = (patch.index, *tf.unstack(patch.start)), (patch.index + 1, *tf.unstack(patch.stop))
    label = tf.squeeze(window(case["label"], (axis, *axes), *centre), axis)[..., None]
    if config.mirror:
        mirrored = 2 if config.plane == "sagittal" else 1
        slab = tf.cond(patch.flipped, lambda: tf.reverse(slab, [mirrored]), lambda: slab)
        if config.plane != "sagittal":
            label = tf.cond(patch.flipped, lambda: tf.reverse(label, [1]), lambda: label)
    size = patch_size(config)
    missing = tf.constant(size) - (patch.stop - patch.start)
    widths = [[0, missing[0]], [0, missing[1]], [0, 0]]
    return {
        "slab": tf.ensure_shape(tf.pad(slab, widths, constant_values=prepared.AIR_HU), [*size, 3]),
        "label": tf.ensure_shape(tf.cast(tf.pad(label, widths) > 0, tf.uint8), [*size, 1]),
    }


def window(volume, axes, begin, end):
    """The part of a volume between begin and end along each of `axes`, copied at once."""
    bounds = {axis: (b, e) for axis, b, e in zip(axes, begin, end, strict=True)}
    return volume[tuple(slice(*bounds[axis]) for axis in range(3))]


def finish(sample, config):
    """Scales and augments one drawn sample."""
    slab = geometry.scale(arrays.tensorflow(), sample["slab"])
    label = tf.cast(sample["label"], tf.float32)
    if config.augment:
        slab, [label] = augment(slab, [(label, 0.0)], sample["pixel_mm"], sampling.fold(sample["seed"], 2), config)
        label = tf.cast(label >= 0.5, tf.float32)
    return {"slab": slab, "label": label}
