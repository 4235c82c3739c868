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
        tpu: a TPU's name or address, for "tpu"; empty for the one of the environment variable TPU_NAME.

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
        return multi_worker_strategy()
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


def multi_worker_strategy():
    """Joins the cluster of TF_CONFIG; waits for the other workers."""
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (ValueError, KeyError, TypeError, AttributeError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError("strategy", f"multi_worker cannot use TF_CONFIG ({reason})") from None
    if not strategy.cluster_resolver.cluster_spec().as_dict():
        raise UsageError("strategy", "multi_worker takes a TF_CONFIG that names a cluster")
    return strategy


def tpu_strategy(tpu):
    """Connects to a TPU and initialises it."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu or "")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, ImportError, RuntimeError, tf.errors.OpError) as error:
        what = f"{tpu!r} cannot be used" if tpu else "--strategy=tpu needs it here"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        takes = "takes 'local' on a TPU VM, a TPU's name on Google Cloud, or grpc://HOST:PORT"
        raise UsageError("tpu", f"{what} ({reason}); {takes}") from None
    return tf.distribute.TPUStrategy(resolver)


def worker_of(strategy):
    """Which worker this process is, from 0, and how many there are; worker 0 writes the files that all share."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return 0, 1
    cluster = resolver.cluster_spec().as_dict()
    chiefs, workers = (len(cluster.get(kind, [])) for kind in ("chief", "worker"))
    if not chiefs + workers:
        return 0, 1
    return (chiefs if resolver.task_type == "worker" else 0) + (resolver.task_id or 0), chiefs + workers


def compiles(jit, config, strategy):
    """Whether XLA compiles a replica's part of a step; a TPU does so in any case.

    Args:
        jit: "on", "off" or "auto": on a single GPU, not on a CPU, where it is slower.
        config: a KidneyConfig or TumorConfig.
        strategy: a tf.distribute strategy.

    Raises:
        UsageError: "on" where it cannot be.
    """
    one = isinstance(strategy, tf.distribute.OneDeviceStrategy)
    fixed = config.stage == "kidney" or config.grid > 0
    if jit == "on" and not one:
        raise UsageError(
            "jit", "on takes --strategy=one; XLA does not compile the sum of gradients over replicas here"
        )
    if jit == "on" and not fixed:
        raise UsageError("jit", "on takes a grid; native cubes differ in size, and each size would be compiled anew")
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    return jit == "on" or (jit == "auto" and one and fixed and on_gpu)
