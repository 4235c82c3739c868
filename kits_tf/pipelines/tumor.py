"""Stage 2's samples: sub-blocks of the cubes around kidneys."""

import functools

import tensorflow as tf

from kits_tf import arrays, geometry, kidney_crops
from kits_tf.data.stage_inputs import HUNDREDTHS, read_sample, stored_limit_mm
from kits_tf.pipelines import sampling
from kits_tf.pipelines.augmentation import augment, compiled, enlargement

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

    def open_kidney(index, seed):
        return visit(paths[redirected(kidney_samples, config, index, seed)], seed, config)

    return sampling.samples_from(order, step, open_kidney)


def redirected(kidney_samples, config, index, seed):
    """The kidney that a visit opens: its own, or one with tumor for the config's share of the visits."""
    with_tumor = [i for i, sample in enumerate(kidney_samples) if sample["tumor"]]
    if not config.foreground_fraction or not with_tumor:
        return index
    numbers = sampling.uniform([2], sampling.fold(seed, 3))
    other = tf.constant(with_tumor)[sampling.below(numbers[1], len(with_tumor))]
    return tf.where(numbers[0] < config.foreground_fraction, other, index)


def sources_of_step(kidney_samples, config, order, step):
    """The files that a step's samples (from 0) come from; for those who look into one."""
    visits = [tf.constant(visit, tf.int64) for visit in sampling.visits_of_step(order, step)]
    opened = [redirected(kidney_samples, config, *sampling.case_and_seed(order, visit)) for visit in visits]
    return [kidney_samples[int(index)]["path"] for index in opened]


def visit(path, seed, config):
    """Sub-blocks of one kidney, `per_visit` of them in random order; the cube is augmented as a whole."""
    kidney = read_sample(path, config.regression == "signed_distance")
    spacing_mm, tumor_ml = kidney.pop("spacing_mm"), kidney.pop("tumor_ml")
    change = functools.partial(finish, config=config)
    if config.grid:
        kidney = {name: tf.ensure_shape(array, [config.grid] * 3) for name, array in kidney.items()}
        change = compiled(change)
    cube = change(kidney, spacing_mm, sampling.fold(seed, 2))
    count = per_visit(config)
    chosen = tf.argsort(sampling.uniform([NUM_BLOCKS], sampling.fold(seed, 1)))[:count]
    cut = {name: blocks(array, config, outside(name, config)) for name, array in cube.items()}
    parts = {name: tf.gather(array, chosen)[..., None] for name, array in cut.items()}
    return parts | {"tumor_ml": tf.fill([count], tumor_ml)}


def finish(kidney, spacing_mm, seed, config):
    """Scales and augments one cube: image, label and, where there is one, distance_mm."""
    image = geometry.scale(arrays.tensorflow(), kidney["image"], config.clip_hu)
    targets = {"label": (tf.cast(kidney["label"], tf.float32), 0.0)}
    if "distance" in kidney:
        distance_mm = tf.cast(kidney["distance"], tf.float32) / HUNDREDTHS
        targets["distance_mm"] = distance_mm, outside("distance_mm", config)
    if not config.augment:
        return {"image": image} | {name: array for name, (array, _) in targets.items()}
    channels = [(array[..., None], outside) for array, outside in targets.values()]
    image, moved = augment(image[..., None], channels, spacing_mm, seed, config)
    cube = {"image": image} | dict(zip(targets, moved, strict=True))
    cube["label"] = tf.cast(cube["label"] >= 0.5, tf.float32)
    if "distance_mm" in cube:  # the tumor and all distances in it are larger by that; the loss clips them
        cube["distance_mm"] *= enlargement(3, seed, config)
    return {name: array[..., 0] for name, array in cube.items()}


def outside(name, config):
    """What an array of a sample holds beyond its cube: air, no tumor, the longest distance from one."""
    return stored_limit_mm(config) if name == "distance_mm" else 0.0


def blocks(cube, config, beyond=0.0):
    """The four sub-blocks, padded at the ends with what is `beyond` the cube to what the network can take."""
    xp = arrays.tensorflow()
    parts = kidney_crops.split(xp, cube, config.blocks) - beyond
    padded = geometry.pad_to_multiple(xp, parts, 2**config.depth, (1, 2, 3)) + beyond
    return tf.ensure_shape(padded, padded_shape(config))


def padded_shape(config):
    """The static shape of the sub-blocks; unknown on the native grid."""
    if not config.grid:
        return [NUM_BLOCKS, None, None, None]
    extra = kidney_crops.BLOCK_OVERLAP if config.blocks == "overlap" else 0
    sizes = [config.grid, config.grid // 2 + extra, config.grid // 2 + extra]
    unit = 2**config.depth
    return [NUM_BLOCKS, *(-(-size // unit) * unit for size in sizes)]
