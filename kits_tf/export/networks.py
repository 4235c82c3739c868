"""One network for export: named inputs and outputs, of any size, float32."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from kits_tf import geometry
from kits_tf.arrays import tensorflow
from kits_tf.config import KidneyConfig, TumorConfig
from kits_tf.inference.engines.tensorflow import load_network

INPUTS = {"kidney": "slab", "tumor": "block"}
AXES = {
    "kidney": ("batch", "height", "width", "channel"),
    "tumor": ("batch", "slices", "rows", "columns", "channel"),
}


@dataclasses.dataclass(frozen=True)
class ExportedNetwork:
    """A network as it is exported.

    Attributes:
        module: The loaded network, see `load_network`.
        config: Its config.
        function: A `tf.function` of the named input; returns "probability" and the second head by its own name.
    """

    module: tf.Module
    config: KidneyConfig | TumorConfig
    function: tf.types.experimental.PolymorphicFunction

    @property
    def input_name(self) -> str:
        """The name of the input."""
        return INPUTS[self.config.stage]

    def axes(self, rank: int) -> tuple[str, ...]:
        """Return the names of the axes of an input or output; "probability" has no channels."""
        return AXES[self.config.stage][:rank]

    def sample(self, seed: int = 0) -> np.ndarray:
        """Return a random input of sizes that are not multiples of two to the power of the depth."""
        size = (2, 43, 37, 3) if self.config.stage == "kidney" else (1, 19, 21, 26, 1)
        return np.random.default_rng(seed).random(size, np.float32)


def exported(folder: pathlib.Path, config: KidneyConfig | TumorConfig) -> ExportedNetwork:
    """Load a network for export from its own folder.

    Raises:
        InputError: The weights are not this network's, or not finite.
    """
    module = load_network(folder, config)
    spec = tf.TensorSpec([None, *module.model.input.shape[1:]], tf.float32, name=INPUTS[config.stage])
    axes = tuple(range(1, len(spec.shape) - 1))

    @tf.function(input_signature=[spec], autograph=False)
    def function(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = tf.shape(batch)
        padded = geometry.pad_to_multiple(tensorflow(), batch, 2**config.depth, axes)
        outputs = module.model(tf.ensure_shape(padded, spec.shape), training=False)
        inside = (slice(None), *(slice(shape[axis]) for axis in axes))
        heads = {name: output[inside] for name, output in outputs.items() if name != "logits"}
        return {"probability": tf.sigmoid(outputs["logits"][..., 0])[inside], **heads}

    return ExportedNetwork(module, config, function)


def largest_difference(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Return the largest absolute difference over all expected outputs.

    It is relative to the largest value of an output if that is above 1: a second head may be in millimetres.
    """
    return max(
        float(np.abs(np.asarray(found[name]) - value).max() / max(1, np.abs(value).max()))
        for name, value in expected.items()
    )
