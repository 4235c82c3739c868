"""Stage 2's samples: sub-blocks of the cubes around kidneys."""

import tensorflow as tf

from kits_tf import arrays, cubes, geometry
from kits_tf.dataset import kidneys
from kits_tf.pipelines import sampling
from kits_tf.pipelines.augmentation import augment

NUM_BLOCKS = 4


def per_visit(config):
    """How many samples are drawn each time a kidney is opened: all of its sub-blocks, or one where all look alike."""
    return 1 if config.blocks == "polyphase" else NUM_BLOCKS


def samples(kidney_samples, config, order, step=0):
    """The endless data set of sub-blocks.

    Args:
        kidney_samples: list of {"path", "tumor"}, from `dataset.kidneys`.
        config: a TumorConfig; `foreground_fraction` is the share of visits that are redirected to a kidney with tumor.
        order: a sampling.Order over the kidneys.
        step: where to start.

    Returns:
        tf.data.Dataset of {"image", "label": [slices, rows, columns, 1] float32; "tumor_ml": float32 scalar;
        "distance_mm" for the config's "signed_distance"}.
    """
    paths = tf.constant([str(sample["path"]) for sample in kidney_samples])
    with_tumor = [i for i, sample in enumerate(kidney_samples) if sample["tumor"]]

    def open_kidney(index, seed):
        if config.foreground_fraction and with_tumor:
            numbers = sampling.uniform([2], sampling.fold(seed, 3))
            other = tf.constant(with_tumor)[sampling.below(numbers[1], len(with_tumor))]
            index = tf.where(numbers[0] < config.foreground_fraction, other, index)
        return visit(paths[index], seed, config)

    return sampling.samples_from(order, step, open_kidney)


def visit(path, seed, config):
    """Sub-blocks of one kidney, `per_visit` of them in random order; the cube is augmented as a whole."""
    with_distance = config.regression == "signed_distance"
    kidney = kidneys.read_tensors(path, with_distance)
    image = geometry.scale(arrays.tensorflow(), kidney["image"], config.clip_hu)
    targets = {"label": (tf.cast(kidney["label"], tf.float32), 0.0)}
    if with_distance:
        distance_mm = tf.cast(kidney["distance"], tf.float32) / kidneys.HUNDREDTHS
        targets["distance_mm"] = distance_mm, config.max_distance_mm
    if config.augment:
        image, moved = in_plane(image, list(targets.values()), kidney["pixel_mm"], seed, config)
        targets = dict(zip(targets, moved, strict=True))
        targets["label"] = tf.cast(targets["label"] >= 0.5, tf.float32)
    else:
        targets = {name: array for name, (array, _) in targets.items()}
    count = per_visit(config)
    chosen = tf.argsort(sampling.uniform([NUM_BLOCKS], sampling.fold(seed, 1)))[:count]
    parts = {"image": image} | targets
    parts = {name: tf.gather(blocks(array, config), chosen)[..., None] for name, array in parts.items()}
    return parts | {"tumor_ml": tf.fill([count], kidney["tumor_ml"])}


def in_plane(image, targets, pixel_mm, seed, config):
    """Augments a cube [slices, rows, columns] alike in all its slices, which take the place of channels."""

    def channels_last(array):
        return tf.transpose(array, (1, 2, 0))

    moved = [(channels_last(target), outside) for target, outside in targets]
    image, moved = augment(channels_last(image), moved, pixel_mm, sampling.fold(seed, 2), config)
    return tf.transpose(image, (2, 0, 1)), [tf.transpose(target, (2, 0, 1)) for target in moved]


def blocks(cube, config):
    """The four sub-blocks, padded with zeros at the ends to what the network can take."""
    xp = arrays.tensorflow()
    if config.grid:
        cube = tf.ensure_shape(cube, [config.grid] * 3)
    padded = geometry.pad_to_multiple(xp, cubes.split(xp, cube, config.blocks), 2**config.depth, (1, 2, 3))
    return tf.ensure_shape(padded, padded_shape(config))


def padded_shape(config):
    """The static shape of the sub-blocks; unknown on the native grid."""
    if not config.grid:
        return [NUM_BLOCKS, None, None, None]
    extra = cubes.BLOCK_OVERLAP if config.blocks == "overlap" else 0
    sizes = [config.grid, config.grid // 2 + extra, config.grid // 2 + extra]
    unit = 2**config.depth
    return [NUM_BLOCKS, *(-(-size // unit) * unit for size in sizes)]
