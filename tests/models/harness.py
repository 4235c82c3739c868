"""What the tests of networks share: weights that do not depend on Keras's initialisers, inputs, round trips."""

import tempfile

import keras
import numpy as np


def random_value(variable, rng):
    """A value for a weight, float32. Kernels keep the variance of ReLU features (He et al. 2015); scales and variances
    lie in [0.5, 1.5].
    """
    shape = tuple(variable.shape)
    if variable.name in ("gamma", "moving_variance"):
        value = rng.uniform(0.5, 1.5, shape)
    elif variable.name == "kernel":
        value = rng.normal(0, np.sqrt(2 / max(1, np.prod(shape[:-1]))), shape)
    else:
        value = rng.normal(0, 0.1, shape)
    return value.astype("float32")


def randomise(model, seed=0):
    """Sets every weight of a model or layer from NumPy's generator; returns the model."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(random_value(variable, rng))
    return model


def random_input(*shape, seed=0):
    """A scaled CT's range of numbers: float32 in [0, 1)."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def arrays(outputs):
    """A network's outputs as NumPy arrays."""
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def check_layer_round_trip(layer, *inputs):
    """A layer survives its config, saved weights and a saved model; all give the same output as itself."""
    expected = randomise_after_call(layer, *inputs)(*inputs)
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    tensors = [keras.Input(x.shape[1:]) for x in inputs]
    model, copied = (keras.Model(tensors, one(*tensors)) for one in (layer, copy))
    with tempfile.TemporaryDirectory() as folder:
        model.save_weights(f"{folder}/layer.weights.h5")
        copied.load_weights(f"{folder}/layer.weights.h5")
        model.save(f"{folder}/layer.keras")
        loaded = keras.saving.load_model(f"{folder}/layer.keras")
    assert type(loaded.layers[-1]) is type(layer) and loaded.layers[-1].get_config() == layer.get_config()
    for one in (copy, loaded.layers[-1]):
        np.testing.assert_array_equal(one(*inputs), expected)


def randomise_after_call(layer, *inputs):
    """Builds a layer by calling it, then randomises its weights; returns the layer."""
    layer(*inputs)
    return randomise(layer)


def check_network_round_trip(network, x, folder):
    """A network survives its config, saved weights and a saved model; all give the same output as itself."""
    expected = arrays(randomise(network)(x))
    kind = type(network)

    from_config = kind.from_config(network.get_config())
    assert type(from_config) is kind and from_config.get_config() == network.get_config()
    network.save_weights(folder / "model.weights.h5")
    from_config.load_weights(folder / "model.weights.h5")

    network.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    assert type(loaded) is kind and loaded.get_config() == network.get_config()

    for copy in (from_config, loaded):
        got = arrays(copy(x))
        assert got.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(got[name], expected[name])
