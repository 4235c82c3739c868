"""Stage 1's samples: random patches of half-slabs in one plane.

A visit reads only a window of a case's slices, so memory does not grow with the case. The axial windows tile the
case, and one is drawn with a chance in proportion to its slices (to its foreground voxels, for samples around
foreground): over the visits, every slice is as likely as every other. Coronal and sagittal patches of a visit share
their slices, and differ in place within them.
"""

import tensorflow as tf

from kits_tf import arrays, geometry
from kits_tf.config import patch_size
from kits_tf.data.records import read_header, read_slices
from kits_tf.pipelines import sampling
from kits_tf.pipelines.augmentation import augment, compiled
from kits_tf.pipelines.patches import PATCH_AXES, Place, channels_last, cut, signature, turned

PER_VISIT = {"axial": 32, "coronal": 128, "sagittal": 96}  # on the native grid: four to six million pixels
PER_WORKING_VISIT = 16  # on a coarser grid opening a case is cheap, and more cases a step are better
AXIAL_WINDOW = 32  # slices


def per_visit(config):
    """How many samples are drawn each time a case is opened."""
    return PER_VISIT[config.plane] if geometry.is_native(config) else PER_WORKING_VISIT


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
    return drawn.map(compiled(lambda sample: finish(sample, config)), tf.data.AUTOTUNE, deterministic=True)


def sources_of_step(records, config, order, step):
    """The records that a step's samples (from 0) come from; for those who look into one."""
    visits = sampling.visits_of_step(order, step)
    return [records[int(sampling.case_and_seed(order, tf.constant(visit, tf.int64))[0])] for visit in visits]


def visit(path, seed, config, count):
    """Opens a case and draws `count` patches; HU int16 and labels uint8, to be finished later."""
    case = open_case(path, config)
    seeds = tf.random.stateless_uniform([count, 2], sampling.fold(seed, 1), None, None, tf.int32, alg="philox")
    if config.foreground_fraction:
        fraction = tf.where(tf.shape(case["foreground"])[0] > 0, config.foreground_fraction, 0.0)
        on_foreground = sampling.uniform([count], sampling.fold(seed, 2)) < fraction
        groups = [tf.cast(tf.where(mask)[:, 0], tf.int32) for mask in (on_foreground, ~on_foreground)]
        parts = [
            patches(path, case, tf.shape(group)[0], sampling.fold(seed, 3 + k), k == 0, config)
            for k, group in enumerate(groups)
        ]
        drawn = {name: tf.dynamic_stitch(groups, [part[name] for part in parts]) for name in parts[0]}
    else:
        drawn = patches(path, case, count, sampling.fold(seed, 4), False, config)
    drawn = {name: tf.ensure_shape(values, [count, *values.shape[1:]]) for name, values in drawn.items()}
    pixel_mm = tf.cast(tf.gather(case["spacing_mm"], PATCH_AXES[config.plane]), tf.float32)
    return drawn | {"seed": seeds, "pixel_mm": tf.tile(pixel_mm[None], [count, 1])}


def open_case(path, config):
    """A record's header in the frame that the config works in: the body box, or whole slices.

    Returns:
        the header's tensors; "frame", int32 [3], the frame's shape; "corner", int32 [3], where the record's arrays
        begin in it; "foreground" in the frame.
    """
    header = read_header(path)
    if config.body_box or not geometry.is_native(config):
        return header | {"frame": header["shape"], "corner": tf.zeros([3], tf.int32)}
    corner = tf.stack([0, header["box"][0], header["box"][2]])
    return header | {"frame": header["full_shape"], "corner": corner, "foreground": header["foreground"] + corner}


def patches(path, case, count, seed, on_foreground, config):
    """Draws patches from one window of a case: {"slab": int16, "label": uint8}, as of `cut`."""
    bounds = window(case, sampling.fold(seed, 0), on_foreground, config)
    places = draw(case, count, sampling.fold(seed, 1), bounds, on_foreground, config)
    first, last = tf.maximum(bounds[0] - 1, 0), tf.minimum(bounds[1] + 1, case["frame"][0])
    image, label, offset = read_slices(path, case["shape"], first, last)
    content = turned(image, label, case["corner"] + tf.stack([offset, 0, 0]), case["frame"], config.plane)
    return tf.map_fn(
        sampling.plain(lambda place: cut(content, place, config)), places, fn_output_signature=signature(config)
    )


def window(case, seed, on_foreground, config):
    """Bounds of the slices to draw from: an axial tile, or the slices of a coronal or sagittal patch."""
    size, numbers = case["frame"][0], sampling.uniform([2], seed)
    anchor = foreground(case["foreground"], numbers[:1])[0, 0] if on_foreground else sampling.below(numbers[0], size)
    if config.plane == "axial":
        start = anchor // AXIAL_WINDOW * AXIAL_WINDOW
        return start, tf.minimum(start + AXIAL_WINDOW, size)
    low, high = 0, tf.maximum(size - config.patch_slices, 0)
    if on_foreground:
        low, high = tf.maximum(low, anchor - config.patch_slices + 1), tf.minimum(high, anchor)
    start = low + sampling.below(numbers[1], high - low + 1)
    return start, tf.minimum(start + config.patch_slices, size)


def foreground(voxels, numbers):
    """Voxels [n, 3] drawn from a list of them by numbers [n] in [0, 1); the first voxel of the case from none."""
    count = tf.shape(voxels)[0]
    return tf.gather(tf.pad(voxels, [[0, 1], [0, 0]]), sampling.below(numbers, tf.maximum(count, 1)))


def draw(case, count, seed, bounds, on_foreground, config):
    """Draws the places of patches: evenly over the half-slabs, or around random foreground voxels.

    Args:
        case: tensors of `open_case`.
        count: how many.
        seed: int32 [2].
        bounds: (start, stop) of the window's slices.
        on_foreground: whether every patch holds a foreground voxel.
        config: a KidneyConfig.

    Returns:
        A Place of `count` patches: index int32 [n], start and stop int32 [n, 2], flipped bool [n].
    """
    frame, numbers = case["frame"], sampling.uniform([count, 5], seed)
    if on_foreground:
        slices = case["foreground"][:, 0]
        inside = tf.boolean_mask(case["foreground"], (bounds[0] <= slices) & (slices < bounds[1]))
        voxel = foreground(inside, numbers[:, 0])
    else:
        low, high = (bounds[0], 0, 0), (bounds[1], frame[1], frame[2])
        voxel = tf.stack([low[k] + sampling.below(numbers[:, k], high[k] - low[k]) for k in range(3)], axis=1)
    is_left = voxel[:, 2] >= frame[2] // 2
    low, high = half_bounds(frame, bounds, is_left, config)
    size = tf.constant(patch_size(config))
    last = tf.maximum(high - size, low)
    if on_foreground:
        position = tf.gather(voxel, PATCH_AXES[config.plane], axis=1)
        first = tf.maximum(low, position - size + 1)
        last = tf.minimum(last, tf.maximum(position, low))
        first = tf.minimum(first, last)
    else:
        first = low
    start = first + sampling.below(numbers[:, 3:5], last - first + 1)
    flipped = is_left if config.mirror else tf.zeros_like(is_left)
    return Place(voxel[:, geometry.AXIS[config.plane]], start, tf.minimum(start + size, high), flipped)


def half_bounds(frame, bounds, is_left, config):
    """Bounds in height and width, int32 [n, 2] each, of what a half sees of the slab."""
    right, left = geometry.halves(arrays.tensorflow(), config.plane, frame, config.overlap)
    height = (0, frame[1]) if config.plane == "axial" else bounds
    low = tf.where(is_left, left.columns[0], right.columns[0])
    high = tf.where(is_left, left.columns[1], right.columns[1])
    ones = tf.ones_like(low)
    return tf.stack([height[0] * ones, low], axis=1), tf.stack([height[1] * ones, high], axis=1)


def finish(sample, config):
    """Scales and augments one drawn sample; the slab's slices become channels, label 0/1."""
    slab = geometry.scale(arrays.tensorflow(), channels_last(sample["slab"], config.plane), config.clip_hu)
    label = tf.cast(channels_last(sample["label"], config.plane) > 0, tf.float32)
    if config.augment:
        slab, [label] = augment(slab, [(label, 0.0)], sample["pixel_mm"], sampling.fold(sample["seed"], 2), config)
        label = tf.cast(label >= 0.5, tf.float32)
    return {"slab": slab, "label": label}
