"""One network for export: its input and outputs by name, any size, float32."""

import dataclasses

import numpy as np
import tensorflow as tf

from kits_tf import geometry
from kits_tf.arrays import tensorflow
from kits_tf.checkpoint import WEIGHTS_NAME
from kits_tf.errors import InputError
from kits_tf.inference.engines.tensorflow import load_network

INPUTS = {"kidney": "slab", "tumor": "block"}
SECOND_HEADS = ("reconstruction", "regression")


@dataclasses.dataclass(frozen=True)
class ExportedNetwork:
    """A network as it is exported.

    Attributes:
        module: the loaded network, see `load_network`.
        config: its config.
        function: a `tf.function` of the named input: {"probability": ..., and the second head by its own name}.
        input_name: "slab" or "block".
    """

    module: tf.Module
    config: object
    function: object
    input_name: str

    def sample(self, seed=0):
        """A random input, of sizes that no pooling divides."""
        size = (2, 43, 37, 3) if self.config.stage == "kidney" else (1, 19, 21, 26, 1)
        return np.random.default_rng(seed).random(size, np.float32)

    def expected(self, batch):
        """What the Keras model says of a batch, {output name: array}, by its own padding."""
        unit = 2**self.config.depth
        widths = [(0, 0), *((0, -size % unit) for size in batch.shape[1:-1]), (0, 0)]
        inside = (slice(None), *(slice(size) for size in batch.shape[1:-1]))
        found = self.module.model(np.pad(batch, widths), training=False)
        outputs = {name: np.asarray(value)[inside] for name, value in found.items()}
        return {"probability": 1 / (1 + np.exp(-outputs.pop("logits")[..., 0])), **outputs}


def exported(folder, config):
    """The ExportedNetwork of a network's own folder.

    Raises:
        InputError: the weights are not this network's, or not finite.
    """
    module = load_network(folder, config)
    if not all(np.isfinite(weights).all() for weights in module.model.get_weights()):
        raise InputError(folder / WEIGHTS_NAME, "holds weights that are not finite; did the training diverge?")
    name = INPUTS[config.stage]
    spec = tf.TensorSpec([None, *module.model.input.shape[1:]], tf.float32, name=name)
    axes = tuple(range(1, len(spec.shape) - 1))

    @tf.function(input_signature=[spec], autograph=False)
    def function(batch):
        shape = tf.shape(batch)
        padded = geometry.pad_to_multiple(tensorflow(), batch, 2**config.depth, axes)
        found = module.model(tf.ensure_shape(padded, spec.shape), training=False)
        inside = (slice(None), *(slice(shape[axis]) for axis in axes))
        heads = {head: found[head][inside] for head in SECOND_HEADS if head in found}
        return {"probability": tf.sigmoid(found["logits"][..., 0])[inside], **heads}

    return ExportedNetwork(module, config, function, name)


def largest_difference(found, expected):
    """The largest absolute difference over all named outputs; a share of an output's own size where that is above 1.

    A second head may speak of millimetres; float32 holds no more of them than of a probability.

    Raises:
        KeyError: an expected output is missing.
    """
    return max(
        float(np.abs(np.asarray(found[name]) - value).max() / max(1, np.abs(value).max()))
        for name, value in expected.items()
    )


def signature(network):
    """The input and outputs of an ExportedNetwork as plain data, as `saved_model.describe` gives them."""
    concrete = network.function.get_concrete_function()
    inputs = {network.input_name: concrete.inputs[0]}
    return {
        "signatures": {"serving_default": {"inputs": tensors(inputs), "outputs": tensors(concrete.structured_outputs)}}
    }


def tensors(specs):
    """{name: {"dtype", "shape"}} of named tensors, unknown sizes None."""
    return {name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()} for name, spec in sorted(specs.items())}
