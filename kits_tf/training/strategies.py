"""The tf.distribute strategies by name."""

import os

import tensorflow as tf

from kits_tf.errors import UsageError

NAMES = ("auto", "one", "mirrored", "multi_worker", "tpu")


def make_strategy(name, tpu=None):
    """The strategy of that name.

    Args:
        name: "one": the first GPU, or the CPU. "mirrored": all devices of this machine. "multi_worker": all machines
            of TF_CONFIG. "tpu". "auto": the one that fits what is there.
        tpu: a TPU's name or address, for "tpu"; empty for the one of this machine.

    Raises:
        UsageError: TF_CONFIG is not set for "multi_worker", or the TPU cannot be reached.
    """
    if name == "auto":
        name = fitting(tpu)
    if name == "tpu":
        return tpu_strategy(tpu)
    if name == "multi_worker":
        if "TF_CONFIG" not in os.environ:
            raise UsageError("strategy", "multi_worker takes the cluster from the environment variable TF_CONFIG")
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    devices = [device.name for device in devices]
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.OneDeviceStrategy(devices[0])


def fitting(tpu):
    """The name of the strategy that "auto" stands for."""
    if tpu is not None:
        return "tpu"
    if "TF_CONFIG" in os.environ:
        return "multi_worker"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one"


def tpu_strategy(tpu):
    """Connects to a TPU and initialises it."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu or "")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise UsageError("tpu", f"{tpu!r} cannot be used ({str(error).splitlines()[0]})") from None
    return tf.distribute.TPUStrategy(resolver)


def is_chief(strategy):
    """Whether this process writes the files that all workers share."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or not resolver.cluster_spec().as_dict():
        return True
    if "chief" in resolver.cluster_spec().as_dict():
        return resolver.task_type == "chief"
    return resolver.task_type in (None, "worker") and not resolver.task_id
