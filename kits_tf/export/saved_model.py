"""SavedModels in TensorFlow Serving's layout: weights stored once, nothing of training, signatures by name."""

import json

import numpy as np
import tensorflow as tf

from kits_tf import files
from kits_tf.export.networks import largest_difference, tensors

TOLERANCE = 1e-5


def save(folder, signatures, weights):
    """Writes a SavedModel with its `signature.json`.

    Args:
        folder: to write to.
        signatures: {name: concrete function}.
        weights: Keras variables that the functions use.
    """
    root = tf.Module()
    root.weights = [variable.value for variable in weights]
    tf.saved_model.save(root, str(folder), signatures=signatures)
    files.write_text(folder / "signature.json", json.dumps(describe(folder), indent=2) + "\n")


def describe(folder):
    """The signatures of a SavedModel as plain data: {"signatures": {name: {"inputs", "outputs"}}}.

    Each input and output is {name: {"dtype", "shape"}}, unknown sizes None.
    """
    loaded = tf.saved_model.load(str(folder))
    return {
        "signatures": {
            name: {
                "inputs": tensors(function.structured_input_signature[1]),
                "outputs": tensors(function.structured_outputs),
            }
            for name, function in sorted(loaded.signatures.items())
        }
    }


def save_network(folder, network):
    """Writes an ExportedNetwork as a SavedModel and reads it back.

    Returns:
        The largest difference from the Keras model on a random input.

    Raises:
        RuntimeError: it is above 1e-5.
    """
    save(folder, {"serving_default": network.function.get_concrete_function()}, network.module.model.variables)
    batch = network.sample()
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found = serve(**{network.input_name: tf.constant(batch)})
    return checked(folder, largest_difference({n: np.asarray(v) for n, v in found.items()}, network.expected(batch)))


def save_system(folder, system, networks):
    """Writes the whole system as a SavedModel.

    Args:
        folder: to write to.
        system: a System.
        networks: {name: module} that it was made of.
    """
    save(folder, system.signatures(), [v for module in networks.values() for v in module.model.variables])


def checked(folder, difference, tolerance=TOLERANCE):
    """The difference; raises RuntimeError where it is above the tolerance."""
    if not difference <= tolerance:
        raise RuntimeError(f"{folder}: differs from the Keras model by {difference:.2g}, more than {tolerance:g}")
    return difference
