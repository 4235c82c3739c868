"""The data of a network: what its pipeline reads, and the distributed iterator of batches."""

import hashlib
import json

import tensorflow as tf

from kits_tf.data.records import find_records, read_index
from kits_tf.data.stage_inputs import case_of, kidney_samples, mask_path, working_records
from kits_tf.errors import InputError, UsageError
from kits_tf.pipelines import kidney, tumor
from kits_tf.pipelines.sampling import Order

PIPELINES = {"kidney": kidney, "tumor": tumor}


def training_sources(config, data_dir, folder, kidney_masks="labels", report=print):
    """What a network's pipeline reads, made from the prepared training cases where it is not there yet.

    Args:
        config: a KidneyConfig or TumorConfig.
        data_dir: a prepared folder.
        folder: the network's own folder.
        kidney_masks: "labels" or a folder, for the tumor network.
        report: called with lines about what is done once.

    Returns:
        list, one entry a case (kidney network) or a kidney (tumor network).

    Raises:
        InputError: the folder or a record in it cannot be used.
    """
    records = split_records(data_dir, "training")
    if not records:
        raise InputError(data_dir, "no training case; run kits-prepare again")
    if config.stage == "kidney":
        return working_records(records, config, report)
    return kidney_samples(records, config, kidney_masks, folder / "samples", report)


def split_records(data_dir, split):
    """The records of a split.

    Raises:
        InputError: one of them is not there.
    """
    records = find_records(data_dir, split)
    for path in records:
        if not path.is_file():
            raise InputError(path, "no such file; run kits-prepare again")
    return records


def digest(data_dir, kidney_masks=None):
    """Tells whether training or validation cases are others than before, or their content or kidney masks differ.

    Args:
        data_dir: a prepared folder.
        kidney_masks: None, "labels" or a folder of predictions.
    """
    kept = ("id", "split", "shape", "spacing_mm", "image_digest", "label_digest")
    cases = read_index(data_dir)["cases"]
    described = [{name: case.get(name) for name in kept} for case in cases if case["split"] != "test"]
    if kidney_masks not in (None, "labels"):
        paths = [mask_path(kidney_masks, case["id"]) for case in described]
        described += [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def order_of(config, sources, seed, workers=1, worker=0):
    """The Order of a network's samples for one of the workers."""
    return Order(
        num_cases=len(sources),
        per_visit=PIPELINES[config.stage].per_visit(config),
        seed=seed,
        batch_size=config.batch_size,
        workers=workers,
        worker=worker,
    )


def cases_of_step(config, sources, seed, step, workers=1):
    """The names of the cases (kidneys, for the tumor network) that a step's samples come from, in order.

    Args:
        config: a KidneyConfig or TumorConfig.
        sources: from `training_sources`.
        seed: of the run.
        step: the step, from 1.
        workers: how many share a step.
    """
    order = order_of(config, sources, seed, workers)
    found = PIPELINES[config.stage].sources_of_step(sources, config, order, step - 1)
    return list(dict.fromkeys(case_of(path) for path in found))


def batches(config, sources, seed, step, context):
    """One worker's endless data set of batches, one a replica, from a step on.

    Args:
        config: a KidneyConfig or TumorConfig.
        sources: from `training_sources`.
        seed: of the order and of every draw.
        step: where to start.
        context: a tf.distribute.InputContext.
    """
    order = order_of(config, sources, seed, context.num_input_pipelines, context.input_pipeline_id)
    samples = PIPELINES[config.stage].samples(sources, config, order, step)
    size = context.get_per_replica_batch_size(config.batch_size)
    if config.stage == "tumor" and not config.grid:
        padding = {name: tumor.outside(name, config) for name in samples.element_spec}
        return samples.padded_batch(size, padding_values=padding, drop_remainder=True).prefetch(2)
    return samples.batch(size, drop_remainder=True).prefetch(2)


def distributed(strategy, config, sources, seed, step):
    """The distributed iterator of a strategy; every replica takes an equal share of a step's samples.

    Raises:
        UsageError: the batch cannot be shared evenly.
    """
    replicas, parts = strategy.num_replicas_in_sync, config.accumulation
    if config.batch_size % (replicas * parts):
        what = f"{replicas} replicas" + (f" times {parts} parts (accumulation)" if parts > 1 else "")
        raise UsageError("batch_size", f"{config.batch_size} is no multiple of the {what}")

    def make(context):
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return batches(config, sources, seed, step, context).with_options(options)

    return iter(strategy.distribute_datasets_from_function(make))
