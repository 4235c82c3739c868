"""Runs both networks and their losses on the backend that KERAS_BACKEND names: for `test_backends.py`.

KERAS_BACKEND=jax python -m tests.models.backend_outputs OUT.npz
"""

import sys

import keras
import numpy as np

from tests.models.harness import arrays, batch_of, four_configs, network_of

if keras.backend.backend() == "jax":
    import jax

    jax.config.update("jax_disable_most_optimizations", True)  # compiling takes longer than computing


def main(path):
    """Writes {"NETWORK/NAME": array} to an .npz file: outputs, and the loss in training mode with its terms."""
    results = {}
    for name, depth in (("kidney_axial", 2), ("tumor", 1)):  # gates need two poolings
        config = four_configs(depth=depth)[name]
        network, (x, targets, loss) = network_of(name, config), batch_of(config)
        outputs = arrays(network(x))
        total, terms = loss(targets, network(x, training=True), config)
        for key, value in {**outputs, **terms, "total": total}.items():
            results[f"{name}/{key}"] = keras.ops.convert_to_numpy(value)
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
