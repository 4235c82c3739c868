"""The TensorFlow engine: Keras networks, and stage 2 around the tumor network, as compiled functions.

The exported system runs the same functions, so that its results are identical.
"""

from __future__ import annotations

import collections
import concurrent.futures
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kits_tf import checkpoint, models, runtime
from kits_tf.arrays import tensorflow
from kits_tf.config import Config, TumorConfig
from kits_tf.errors import UsageError
from kits_tf.inference.engines.base import Engine
from kits_tf.inference.tumor import stage_two

VOLUME = tf.TensorSpec([None, None, None], tf.float32)


def load(folder: pathlib.Path, configs: Mapping[str, Config], precision: str) -> TensorFlowEngine:
    """Load the networks of a checkpoint folder onto every GPU, or else the CPU; see `engines.load`."""
    runtime.check_backend()
    if precision == "bfloat16":
        raise UsageError("precision", "--engine=tensorflow computes in float32; bfloat16 needs openvino")
    devices = [gpu.name for gpu in tf.config.list_logical_devices("GPU")] or ["/CPU:0"]
    copies = []
    for device in devices:
        with tf.device(device):
            copies.append({name: load_network(folder / name, config) for name, config in configs.items()})
    return TensorFlowEngine(copies, configs, devices)


class TensorFlowEngine(Engine):
    """Runs copies of the networks on several devices, each with a share of the batches."""

    name = "tensorflow"

    def __init__(
        self, copies: list[dict[str, tf.Module]], configs: Mapping[str, Config], devices: Sequence[str | None]
    ) -> None:
        self._copies = copies
        self._devices = devices
        tumor = configs.get("tumor")
        if isinstance(tumor, TumorConfig):
            self._stage_two = tumor_function(copies[0]["tumor"].probability, tumor)

    @classmethod
    def of_model(cls, model: keras.Model, name: str, config: Config) -> TensorFlowEngine:
        """Return an engine that runs one network with its current weights, such as one in training."""
        return cls([{name: network_module(model)}], {name: config}, [None])

    def probability(self, network: str, batch: np.ndarray, number: int = 0) -> np.ndarray:
        """See `Engine`; `number` is that of the device."""
        with tf.device(self._devices[number]):
            return self._copies[number][network].probability(batch).numpy()

    def probabilities(self, network: str, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `Engine`."""
        count = len(self._devices)
        if count == 1:
            yield from super().probabilities(network, batches)
            return
        running: collections.deque[concurrent.futures.Future[np.ndarray]] = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            for index, batch in enumerate(batches):
                running.append(pool.submit(self.probability, network, batch, index % count))
                if len(running) > count:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()

    def stage_two(
        self, config: TumorConfig, hu: np.ndarray, mask: np.ndarray, spacing_mm: tuple[float, float, float]
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """See `Engine`."""
        # The whole box at once, as in the exported graph, for identical results.
        found = self._stage_two(np.asarray(hu, np.float32), mask, np.asarray(spacing_mm, np.float64)).numpy()
        yield slice(0, len(found)), found


def tumor_function(probability: Callable[[Any], Any], config: TumorConfig) -> Callable[[Any, Any, Any], Any]:
    """Return stage 2 as one compiled function of (hu, mask, spacing_mm); see `tumor.stage_two`."""
    mask = tf.TensorSpec([None, None, None], tf.bool)
    spacing_mm = tf.TensorSpec([3], tf.float64)

    @tf.function(input_signature=[VOLUME, mask, spacing_mm], autograph=False)
    def tumor_probability(hu: Any, mask: Any, spacing_mm: Any) -> Any:
        return stage_two(tensorflow(), one_by_one, config, hu, mask, spacing_mm)

    def one_by_one(blocks: Sequence[Any]) -> list[Any]:
        found: list[Any] = []
        for block in blocks:
            with tf.control_dependencies(found[-1:]):  # so that only one is in memory at a time
                found.append(probability(tf.identity(block)))
        return found

    return tumor_probability


def load_network(folder: pathlib.Path, config: Config) -> tf.Module:
    """Return the `network_module` of the weights in a network's own folder; InputError if they do not fit it."""
    model = models.build(config)
    checkpoint.load_weights(folder, model)
    return network_module(model)


def network_module(model: keras.Model) -> tf.Module:
    """Return a network as a tf.Module whose function `probability` is `Engine.probability`."""
    module = tf.Module()
    module.model = model

    @tf.function(input_signature=[tf.TensorSpec([None, *model.input.shape[1:]], tf.float32, name="batch")])
    def probability(batch: Any) -> Any:
        """See `Engine`."""
        return tf.sigmoid(model(batch, training=False)["logits"][..., 0])

    module.probability = probability
    return module
