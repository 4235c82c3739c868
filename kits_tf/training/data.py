"""The data of a network: the sources of its pipeline, and the distributed iterator of batches."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from kits_tf.config import NetworkConfig
from kits_tf.data.records import find_records, is_file, read_index
from kits_tf.data.stage_inputs import kidney_samples, mask_path, working_records
from kits_tf.errors import InputError, UsageError
from kits_tf.pipelines import kidney, tumor
from kits_tf.pipelines.sampling import Order

PIPELINES: dict[str, Any] = {"kidney": kidney, "tumor": tumor}
DIGESTED = ("id", "split", "shape", "spacing_mm", "image_digest", "label_digest")


def training_sources(
    config: NetworkConfig,
    data_dir: str | os.PathLike,
    folder: pathlib.Path,
    kidney_masks: str = "labels",
    report: Callable[[str], None] = print,
) -> list[Any]:
    """Return a pipeline's sources: paths of cases, or for the tumor network, dicts that describe kidneys.

    Missing files are written first: resized cases to `data_dir`, samples of kidneys to the network's `folder`.

    Raises:
        InputError, UsageError: A record is missing or unusable; the tumor network has no tumor to learn from.
    """
    records = split_records(data_dir, "training")
    if not records:
        raise InputError(data_dir, "no training case; run kits-prepare again")
    if config.stage == "kidney":
        return working_records(records, config, report)
    samples = kidney_samples(records, config, kidney_masks, folder / "samples", report)
    if not any(sample["tumor"] for sample in samples):
        raise UsageError("data_dir", f"no training case of {data_dir} has a tumor inside its kidneys")
    return samples


def split_records(data_dir: str | os.PathLike, split: str) -> list[str]:
    """Return the records of a split; raise InputError if one is missing."""
    records = find_records(data_dir, split)
    for path in records:
        if not is_file(path):
            raise InputError(path, "no such file; run kits-prepare again")
    return records


def digest(data_dir: str | os.PathLike, kidney_masks: str | None = None) -> str:
    """Return a digest of the training and validation cases and of a folder of kidney masks."""
    cases = [case for case in read_index(data_dir)["cases"] if case["split"] != "test"]
    described: list[Any] = [{name: case.get(name) for name in DIGESTED} for case in cases]
    if kidney_masks not in (None, "labels"):
        paths = [mask_path(kidney_masks, case["id"]) for case in cases]
        described += [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def batches(
    config: NetworkConfig, sources: list[Any], seed: int, step: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """Return one worker's endless data set of batches, one per replica, from a step on."""
    pipeline, workers = PIPELINES[config.stage], context.num_input_pipelines
    per_visit = pipeline.per_visit(config)
    order = Order(len(sources), per_visit, seed, config.batch_size, workers, context.input_pipeline_id)
    samples = pipeline.samples(sources, config, order, step)
    size = context.get_per_replica_batch_size(config.batch_size)
    if config.stage == "tumor" and not config.grid:  # native cubes differ in size
        padding = {name: tumor.outside(name, config) for name in samples.element_spec}
        return samples.padded_batch(size, padding_values=padding, drop_remainder=True).prefetch(2)
    return samples.batch(size, drop_remainder=True).prefetch(2)


def distributed(
    strategy: tf.distribute.Strategy, config: NetworkConfig, sources: list[Any], seed: int, step: int
) -> Iterator:
    """Return the distributed iterator of a strategy; every replica gets an equal share of a step's samples."""
    shares = strategy.num_replicas_in_sync * config.accumulation
    if config.batch_size % shares:
        what = f"{strategy.num_replicas_in_sync} replicas times accumulation={config.accumulation}"
        raise UsageError("batch_size", f"must be a multiple of {what}, got {config.batch_size}")

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return batches(config, sources, seed, step, context).with_options(options)

    return iter(strategy.distribute_datasets_from_function(make))
