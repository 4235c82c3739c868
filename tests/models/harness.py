"""What tests of networks share: narrow networks with fixed weights, inputs, targets, and round trips."""

import dataclasses

import keras
import numpy as np

from kits_tf import losses, models
from kits_tf.config import PLANES, preset
from tests.models import reference

WIDTH = 4


def randomise(model, seed=0):
    """Sets every weight from NumPy's generator; kernels keep the variance of ReLU features (He et al. 2015)."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if variable.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])) if variable.name == "kernel" else 0.1, shape)
        variable.assign(value.astype("float32"))
    return model


def random_input(*shape, seed=0):
    """A scaled CT's range of numbers: float32 in [0, 1)."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def arrays(outputs):
    """A network's outputs as NumPy arrays."""
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def four_configs(**options):
    """{network name: config} of the `small` preset at base width 4, with other options where given."""
    configs = {f"kidney_{plane}": preset("small", "kidney", plane) for plane in PLANES}
    configs["tumor"] = preset("small", "tumor")
    return {name: dataclasses.replace(config, base_filters=WIDTH, **options) for name, config in configs.items()}


def network_of(name, config):
    """The network with weights that differ by name but never otherwise."""
    return randomise(models.build(config), seed=sum(map(ord, name)))


def batch_of(config):
    """(input, targets, loss) for a network: a sample with a box of foreground, and one without any."""
    x = random_input(2, 32, 32, 3) if config.stage == "kidney" else random_input(2, 16, 16, 16, 1)
    label = np.zeros((*x.shape[:-1], 1), "float32")
    if config.stage == "kidney":
        label[0, 8:20, 5:17] = 1
        return x, {"label": label, "slab": x}, losses.kidney_loss
    label[0, 3:9, 2:12, 5:9] = 1
    return x, {"label": label, "image": x, "tumor_ml": np.array([3.0, 0.0], "float32")}, losses.tumor_loss


def block_channels(network, name, rank):
    """(input, first, second) channels of a block's convolutions, read from their kernels."""
    first, second = (network.get_layer(f"{name}_convolution_{index}").kernel.shape for index in (0, 1))
    assert first[:rank] == second[:rank] == (3,) * rank and first[-1] == second[-2]
    return (first[-2], first[-1], second[-1])


def check_formula(network, x):
    """A network with random weights computes what NumPy does."""
    expected, outputs = reference.outputs(randomise(network), x), arrays(network(x))
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-3, atol=1e-4)


def check_every_size(function, *shapes):
    """One graph gives the same as eager execution for every size."""
    import tensorflow as tf

    x = random_input(*shapes[0])
    function(x)  # builds a layer
    graph = tf.function(function, input_signature=[tf.TensorSpec((*[None] * (x.ndim - 1), x.shape[-1]))])
    for x in (random_input(*shape) for shape in shapes):
        for got, expected in zip(*(keras.tree.flatten(call(x)) for call in (graph, function)), strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def check_round_trip(model, x, folder):
    """A model survives its config, saved weights and a `.keras` file; all give the same output as itself."""
    expected = keras.tree.flatten(randomise(model)(x))
    copy = type(model).from_config(model.get_config())
    model.save_weights(folder / "model.weights.h5")
    copy.load_weights(folder / "model.weights.h5")
    model.save(folder / "model.keras")
    for one in (copy, keras.saving.load_model(folder / "model.keras")):
        assert type(one) is type(model) and getattr(one, "options", None) == getattr(model, "options", None)
        for got, value in zip(keras.tree.flatten(one(x)), expected, strict=True):
            np.testing.assert_array_equal(got, value)
