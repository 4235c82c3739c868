"""Runs the four networks on the backend that KERAS_BACKEND names and writes what they give: for `test_backends.py`.

KERAS_BACKEND=jax python -m tests.models.backend_outputs OUT.npz
"""

import sys

import keras
import numpy as np

from tests.models.four import batch_of, four_configs, network_of


def tensorflow_gradients(network, x, targets, loss, config):
    """Gradients of the full loss in training mode, in the order of `trainable_variables`."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        total, _ = loss(targets, network(x, training=True), config)
    return tape.gradient(total, [variable.value for variable in network.trainable_variables])


def jax_gradients(network, x, targets, loss, config):
    """The same through `jax.jit`; arrays are arguments, since constants would be folded by the compiler, slowly."""
    import jax

    def total(trainable, frozen, x, targets):
        outputs, _ = network.stateless_call(trainable, frozen, x, training=True)
        return loss(targets, outputs, config)[0]

    trainable = [variable.value for variable in network.trainable_variables]
    frozen = [variable.value for variable in network.non_trainable_variables]
    return jax.jit(jax.grad(total))(trainable, frozen, x, targets)


def main(path):
    """Writes {"NETWORK/outputs/NAME" and "NETWORK/gradients/INDEX": array} to an .npz file."""
    results = {}
    for name, config in four_configs(depth=2).items():
        x, targets, loss = batch_of(config)
        network = network_of(name, config)
        for key, value in network(x).items():
            results[f"{name}/outputs/{key}"] = keras.ops.convert_to_numpy(value)
        by_backend = {"tensorflow": tensorflow_gradients, "jax": jax_gradients}[keras.backend.backend()]
        for index, value in enumerate(by_backend(network, x, targets, loss, config)):
            results[f"{name}/gradients/{index}"] = np.asarray(value)
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
