"""The tf.distribute strategies by name."""

from __future__ import annotations

import dataclasses
import json
import os

import tensorflow as tf

from kits_tf.config import NetworkConfig
from kits_tf.errors import UsageError, one_line


@dataclasses.dataclass(frozen=True)
class Worker:
    """Which worker this process is, and how many there are."""

    index: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files that all workers share."""
        return self.index == 0


ALONE = Worker()


def make_strategy(name: str, tpu: str | None = None) -> tf.distribute.Strategy:
    """Return a strategy by name; raise UsageError if its cluster or TPU cannot be used.

    Args:
        name: "one": the first GPU, or the CPU. "mirrored": all devices of this machine. "multi_worker": all machines
            of TF_CONFIG. "tpu". "auto": what suits the machine.
        tpu: A TPU's name or address; None for that of the environment variable TPU_NAME.
    """
    if name == "auto":
        machine = "mirrored" if len(tf.config.get_visible_devices("GPU")) > 1 else "one"
        name = "tpu" if tpu is not None else "multi_worker" if "TF_CONFIG" in os.environ else machine
    if name == "tpu":
        return _tpu_strategy(tpu)
    if name == "multi_worker":
        return _multi_worker_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name for device in devices]
    return tf.distribute.MirroredStrategy(names) if name == "mirrored" else tf.distribute.OneDeviceStrategy(names[0])


def _multi_worker_strategy() -> tf.distribute.Strategy:
    """Join the cluster of TF_CONFIG; waits for the other workers."""
    try:
        if not json.loads(os.environ.get("TF_CONFIG", "{}"))["cluster"]:
            raise ValueError("no workers")
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (ValueError, KeyError, TypeError, AttributeError, tf.errors.OpError) as error:
        what = f"multi_worker needs a cluster in the environment variable TF_CONFIG ({one_line(error)})"
        raise UsageError("strategy", what) from None


def _tpu_strategy(tpu: str | None) -> tf.distribute.Strategy:
    """Connect to a TPU and initialise it."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu or "")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, ImportError, RuntimeError, tf.errors.OpError) as error:
        what = f"{tpu!r} cannot be used" if tpu else "is required by --strategy=tpu here"
        form = "must be 'local' on a TPU VM, a TPU's name on Google Cloud, or grpc://HOST:PORT"
        raise UsageError("tpu", f"{what} ({one_line(error)}); {form}") from None
    return tf.distribute.TPUStrategy(resolver)


def worker_of(strategy: tf.distribute.Strategy) -> Worker:
    """Return which worker of a strategy this process is."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return ALONE
    cluster = resolver.cluster_spec().as_dict()
    chiefs, workers = (len(cluster.get(kind, [])) for kind in ("chief", "worker"))
    first = chiefs if resolver.task_type == "worker" else 0
    return Worker(first + (resolver.task_id or 0), max(1, chiefs + workers))


def uses_xla(jit: str, config: NetworkConfig, strategy: tf.distribute.Strategy) -> bool:
    """Return whether XLA compiles a replica's part of a step: "on", "off", or "auto", on a single GPU only."""
    is_single = isinstance(strategy, tf.distribute.OneDeviceStrategy)
    has_fixed_shape = config.stage == "kidney" or config.grid > 0
    if jit == "on" and not is_single:
        raise UsageError("jit", "on needs --strategy=one: XLA does not compile the sum over replicas here")
    if jit == "on" and not has_fixed_shape:
        raise UsageError("jit", "on needs a grid: native cubes differ in size, and each size would be compiled")
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    return jit == "on" or (jit == "auto" and is_single and has_fixed_shape and on_gpu)
