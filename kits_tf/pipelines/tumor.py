"""Stage 2's samples: sub-blocks of the cubes around kidneys."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from kits_tf import arrays, geometry, kidney_crops
from kits_tf.config import TumorConfig
from kits_tf.data.stage_inputs import HUNDREDTHS, read_sample, stored_limit_mm
from kits_tf.pipelines import sampling
from kits_tf.pipelines.augment import augment, compiled, enlargement


def per_visit(config: TumorConfig) -> int:
    """Return how many samples are drawn each time a kidney is opened: all sub-blocks, or one if all look alike."""
    return 1 if config.blocks == "polyphase" else kidney_crops.num_blocks(config.blocks)


def samples(
    kidney_samples: Sequence[dict[str, Any]], config: TumorConfig, order: sampling.Order, step: int = 0
) -> tf.data.Dataset:
    """Return the endless data set of sub-blocks.

    Args:
        kidney_samples: Dicts with "path" and "tumor", whether the kidney has one.
        config: The network's config; `foreground_fraction` of the visits are redirected to a kidney with tumor.
        order: The order of the kidneys.
        step: The first step.

    Returns:
        Dicts of "image" and "label", float32 [slices, rows, columns, 1]; "tumor_ml", a float32 scalar; and
        "distance_mm" with regression="signed_distance".
    """
    paths = tf.constant([str(sample["path"]) for sample in kidney_samples])
    with_tumor = [i for i, sample in enumerate(kidney_samples) if sample["tumor"]]

    def open_kidney(index: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        if config.foreground_fraction and with_tumor:
            numbers = sampling.uniform([2], sampling.fold(seed, 3))
            other = tf.constant(with_tumor)[sampling.below(numbers[1], len(with_tumor))]
            index = tf.where(numbers[0] < config.foreground_fraction, other, index)
        return _visit(paths[index], seed, config)

    return sampling.samples_from(order, step, open_kidney)


def _visit(path: tf.Tensor, seed: tf.Tensor, config: TumorConfig) -> dict[str, tf.Tensor]:
    """Return `per_visit` sub-blocks of one kidney in random order; the cube is augmented as a whole."""
    kidney = read_sample(path, config.regression == "signed_distance")
    spacing_mm, tumor_ml = kidney.pop("spacing_mm"), kidney.pop("tumor_ml")
    finish: Callable = functools.partial(_finish, config=config)
    if config.grid:
        kidney = {name: tf.ensure_shape(array, [config.grid] * 3) for name, array in kidney.items()}
        finish = compiled(finish)
    cube = finish(kidney, spacing_mm, sampling.fold(seed, 2))
    count = per_visit(config)
    chosen = tf.argsort(sampling.uniform([kidney_crops.num_blocks(config.blocks)], sampling.fold(seed, 1)))[:count]
    parts = {name: blocks(array, config, outside(name, config)) for name, array in cube.items()}
    parts = {name: tf.gather(array, chosen)[..., None] for name, array in parts.items()}
    return parts | {"tumor_ml": tf.fill([count], tumor_ml)}


def _finish(
    kidney: dict[str, tf.Tensor], spacing_mm: tf.Tensor, seed: tf.Tensor, config: TumorConfig
) -> dict[str, tf.Tensor]:
    """Scale and augment one cube: image, label and, if stored, distance_mm."""
    image = geometry.scale(arrays.tensorflow(), kidney["image"], config.clip_hu)
    targets = {"label": (tf.cast(kidney["label"], tf.float32), 0.0)}
    if "distance" in kidney:
        distance_mm = tf.cast(kidney["distance"], tf.float32) / HUNDREDTHS
        targets["distance_mm"] = distance_mm, outside("distance_mm", config)
    if not config.augment:
        return {"image": image} | {name: array for name, (array, _) in targets.items()}
    channels = [(array[..., None], beyond) for array, beyond in targets.values()]
    image, moved = augment(image[..., None], channels, spacing_mm, seed, config)
    cube = {"image": image} | dict(zip(targets, moved, strict=True))
    cube["label"] = tf.cast(cube["label"] >= 0.5, tf.float32)
    if "distance_mm" in cube:  # distances grow with the tumor; the loss clips them
        cube["distance_mm"] *= enlargement(3, seed, config)
    return {name: array[..., 0] for name, array in cube.items()}


def outside(name: str, config: TumorConfig) -> float:
    """Return the padding value of a sample's array: air, no tumor, or the largest distance from a tumor."""
    return stored_limit_mm(config) if name == "distance_mm" else 0.0


def blocks(cube: tf.Tensor, config: TumorConfig, beyond: float = 0.0) -> tf.Tensor:
    """Return the sub-blocks, padded at their ends with `beyond` to sizes that the network can pool."""
    xp = arrays.tensorflow()
    parts = kidney_crops.split(xp, cube, config.blocks) - beyond
    return geometry.pad_to_multiple(xp, parts, 2**config.depth, (1, 2, 3)) + beyond
