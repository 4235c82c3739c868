"""Runs both networks on the backend that KERAS_BACKEND names and writes what they give: for `test_backends.py`.

KERAS_BACKEND=jax python -m tests.models.backend_outputs OUT.npz
"""

import sys

import keras
import numpy as np

from tests.models.harness import batch_of, four_configs, network_of


def run_tensorflow(network, x, targets, loss, config):
    """The outputs in inference mode, and the gradients of the full loss in training mode.

    Gradients are in the order of `trainable_variables`.
    """
    import tensorflow as tf

    outputs = network(x)  # before training mode moves the averages of batch normalisation
    with tf.GradientTape() as tape:
        total, _ = loss(targets, network(x, training=True), config)
    return outputs, tape.gradient(total, [variable.value for variable in network.trainable_variables])


def run_jax(network, x, targets, loss, config):
    """The same through `jax.jit`; arrays are arguments, since constants would be folded by the compiler, slowly."""
    import jax

    jax.config.update("jax_disable_most_optimizations", False)

    def total(trainable, frozen, x, targets):
        outputs, _ = network.stateless_call(trainable, frozen, x, training=True)
        return loss(targets, outputs, config)[0]

    def both(trainable, frozen, x, targets):
        outputs, _ = network.stateless_call(trainable, frozen, x, training=False)
        return outputs, jax.grad(total)(trainable, frozen, x, targets)

    trainable = [variable.value for variable in network.trainable_variables]
    frozen = [variable.value for variable in network.non_trainable_variables]
    return jax.jit(both)(trainable, frozen, x, targets)


RUNS = {"tensorflow": run_tensorflow, "jax": run_jax}


def quick_initialisers():
    """JAX compiles every shape of every initialiser; unoptimised, that takes seconds instead of a minute."""
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_disable_most_optimizations", True)


def main(path):
    """Writes {"NETWORK/outputs/NAME" and "NETWORK/gradients/INDEX": array} to an .npz file."""
    results = {}
    for name, depth in (("kidney_axial", 2), ("tumor", 1)):  # gates need two poolings
        config = four_configs(depth=depth)[name]
        quick_initialisers()
        network, (x, targets, loss) = network_of(name, config), batch_of(config)
        outputs, gradients = RUNS[keras.backend.backend()](network, x, targets, loss, config)
        for key, value in outputs.items():
            results[f"{name}/outputs/{key}"] = keras.ops.convert_to_numpy(value)
        for index, value in enumerate(gradients):
            results[f"{name}/gradients/{index}"] = keras.ops.convert_to_numpy(value)
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
