"""The TensorFlow engine: Keras networks, and the arithmetic between them, behind one compiled function each.

The functions are those that the exported system runs (`kits_tf.export`), so both give the same bits.
"""

import collections
import concurrent.futures
import functools

import numpy as np
import tensorflow as tf

from kits_tf import checkpoint, geometry, models
from kits_tf.arrays import tensorflow
from kits_tf.errors import UsageError
from kits_tf.inference.engine import Engine
from kits_tf.inference.tumor import stage_two

VOLUME = tf.TensorSpec([None, None, None], tf.float32)
MATRIX = tf.TensorSpec([None, None], tf.float32)


def load(folder, configs, precision):
    """The engine of a checkpoint folder; see `engines.load`."""
    if precision == "bfloat16":
        raise UsageError("engine_precision", "--engine=tensorflow computes in float32; bfloat16 takes openvino")
    return TensorFlowEngine(folder, configs)


class TensorFlowEngine(Engine):
    """Runs networks on every GPU that TensorFlow finds, each with a share of the batches, or else on the CPU.

    Args:
        folder: the checkpoint folder.
        configs: {network name: config} of the networks to load.
        devices: names of the devices to use; by default all GPUs.
    """

    name = "tensorflow"

    def __init__(self, folder, configs, devices=None):
        devices = devices or [gpu.name for gpu in tf.config.list_logical_devices("GPU")] or ["/CPU:0"]
        copies = []
        for device in devices:
            with tf.device(device):
                copies.append({name: load_network(folder / name, config) for name, config in configs.items()})
        self._hold(copies, configs, devices)

    @classmethod
    def of_model(cls, model, name, config):
        """An engine with one network that is in memory, such as one under training; its weights are read anew."""
        engine = cls.__new__(cls)
        engine._hold([{name: network_module(model)}], {name: config}, [None])
        return engine

    def _hold(self, copies, configs, devices):
        self._copies = copies
        self._devices = devices
        if "tumor" in configs:
            self._stage_two = tumor_function(copies[0]["tumor"].probability, configs["tumor"])

    def probability(self, network, batch):
        return self._on(0, network, batch)

    def _on(self, number, network, batch):
        with tf.device(self._devices[number]):
            return self._copies[number][network].probability(batch).numpy()

    def probabilities(self, network, batches):
        count = len(self._devices)
        if count == 1:
            yield from super().probabilities(network, batches)
            return
        running = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            for index, batch in enumerate(batches):
                running.append(pool.submit(self._on, index % count, network, batch))
                if len(running) > count:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()

    def resize(self, part, slices, rows, columns):
        return resize(part, slices, rows, columns).numpy()

    def stage_two(self, config, hu, mask, spacing_mm):
        found = self._stage_two(np.asarray(hu, np.float32), mask, np.asarray(spacing_mm, np.float64)).numpy()
        yield slice(0, len(found)), found  # the exported graph's bits, which take the box whole


def resize(part, slices, rows, columns):
    """`geometry.resize` in TensorFlow, compiled."""
    if slices is not None:
        part = resize_slices(slices, part)
    return resize_inplane(part, rows, columns)


@tf.function(input_signature=[MATRIX, VOLUME], autograph=False)
def resize_slices(slices, part):
    """Applies the matrix of the slice axis; see `geometry.resize`."""
    return geometry.along(tensorflow(), slices, part, 0)


@tf.function(input_signature=[VOLUME, MATRIX, MATRIX], autograph=False)
def resize_inplane(part, rows, columns):
    """Applies the matrices of the other two axes; see `geometry.resize`."""
    return geometry.resize_inplane(tensorflow(), part, rows, columns)


def tumor_function(probability, config):
    """Stage 2 as one compiled function of (hu, mask, spacing_mm); see `tumor.stage_two`.

    Args:
        probability: the function of the tumor network.
        config: its TumorConfig.
    """
    mask = tf.TensorSpec([None, None, None], tf.bool)
    spacing_mm = tf.TensorSpec([3], tf.float64)

    @tf.function(input_signature=[VOLUME, mask, spacing_mm], autograph=False)
    def tumor_probability(hu, mask, spacing_mm):
        one_by_one = in_turn(probability)
        return stage_two(
            tensorflow(), lambda blocks: [one_by_one(block) for block in blocks], config, hu, mask, spacing_mm
        )

    return tumor_probability


def in_turn(function):
    """The function with its calls in a graph made to follow one another, so that one at a time takes memory."""
    before = []

    @functools.wraps(function)
    def after_the_last(batch):
        with tf.control_dependencies(before):
            result = function(tf.identity(batch))
        before[:] = [result]
        return result

    return after_the_last


def load_network(folder, config):
    """A trained network as a tf.Module whose function `probability` does what `Engine.probability` says.

    Args:
        folder: the network's own folder.
        config: its config.

    Raises:
        InputError: the weights are not this network's.
    """
    model = models.build(config)
    checkpoint.load_weights(folder, model)
    return network_module(model)


def network_module(model):
    """A network as a tf.Module whose function `probability` does what `Engine.probability` says."""
    module = tf.Module()
    module.model = model

    @tf.function(input_signature=[tf.TensorSpec([None, *model.input.shape[1:]], tf.float32, name="batch")])
    def probability(batch):
        return tf.sigmoid(model(batch, training=False)["logits"][..., 0])

    module.probability = probability
    return module
