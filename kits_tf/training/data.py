"""The training data of a network as a distributed iterator."""

import tensorflow as tf

from kits_tf.dataset import prepared
from kits_tf.dataset.kidneys import kidney_samples
from kits_tf.dataset.working import working_records
from kits_tf.errors import InputError, UsageError
from kits_tf.pipelines import kidney, tumor
from kits_tf.pipelines.sampling import Order


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
    records = prepared.find_records(data_dir, "training")
    missing = [path for path in records if not path.is_file()]
    if missing or not records:
        raise InputError(missing[0] if missing else data_dir, "no training case; run kits-prepare again")
    if config.stage == "kidney":
        return working_records(records, config, report)
    return kidney_samples(records, config, kidney_masks, folder / "samples", report)


def batches(config, sources, seed, step, context):
    """One worker's endless data set of batches, one a replica, from a step on.

    Args:
        config: a KidneyConfig or TumorConfig.
        sources: from `training_sources`.
        seed: of the order and of every draw.
        step: where to start.
        context: a tf.distribute.InputContext.
    """
    pipeline = {"kidney": kidney, "tumor": tumor}[config.stage]
    order = Order(
        num_cases=len(sources),
        per_visit=pipeline.per_visit(config),
        seed=seed,
        batch_size=config.batch_size,
        workers=context.num_input_pipelines,
        worker=context.input_pipeline_id,
    )
    samples = pipeline.samples(sources, config, order, step)
    size = context.get_per_replica_batch_size(config.batch_size)
    if config.stage == "tumor" and not config.grid:
        return samples.padded_batch(size, drop_remainder=True).prefetch(2)
    return samples.batch(size, drop_remainder=True).prefetch(2)


def distributed(strategy, config, sources, seed, step):
    """The distributed iterator of a strategy; every replica takes an equal share of a step's samples.

    Raises:
        UsageError: the batch cannot be shared evenly.
    """
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:
        raise UsageError("batch_size", f"{config.batch_size} is no multiple of the {replicas} replicas")

    def make(context):
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return batches(config, sources, seed, step, context).with_options(options)

    return iter(strategy.distribute_datasets_from_function(make))
