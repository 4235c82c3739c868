"""No option of a network is ignored: one at a time, it changes the output, and the new output is NumPy's.

Both networks of a pair hold the same weights wherever they have a weight in common.
"""

import inspect
import zlib

import numpy as np
import pytest

from kits_tf.models import KidneyNetwork, TumorNetwork
from tests.models import reference
from tests.models.harness import arrays, random_input, random_value

KIDNEY = {
    "base_filters": 2,
    "depth": 2,
    "pooling": "polyphase",
    "attention": True,
    "normalization": "batch",
    "reconstruction": "centre",
}
KIDNEY_CHANGES = [
    ("base_filters", 3),
    ("depth", 3),
    ("pooling", "haar"),
    ("pooling", "max"),
    ("attention", False),
    ("normalization", "group"),
    ("reconstruction", "slab"),
    ("reconstruction", "none"),
]
TUMOR = {"base_filters": 2, "depth": 2, "attention": "cbam", "normalization": "batch", "regression": "intensity"}
TUMOR_CHANGES = [
    ("base_filters", 3),
    ("depth", 3),
    ("attention", "gate"),
    ("attention", "both"),
    ("attention", "none"),
    ("normalization", "group"),
    ("regression", "signed_distance"),
]
ELSEWHERE = {"batch_norm_momentum", "size", "kwargs"}  # the first below, sizes with each network


def same_weights(network):
    """Weights that depend on nothing but each one's path and shape; returns the network."""
    for variable in network.weights:
        variable.assign(random_value(variable, np.random.default_rng(zlib.crc32(variable.path.encode()))))
    return network


def kidney_outputs(options):
    """(the network's outputs, NumPy's) for one input."""
    x = random_input(2, 8, 16, 3)
    network = same_weights(KidneyNetwork(**options))
    expected = reference.kidney_outputs(
        network, x, options["pooling"], options["attention"], options["reconstruction"], options["depth"]
    )
    return arrays(network(x)), expected


def tumor_outputs(options):
    """(the network's outputs, NumPy's) for one input."""
    x = 20 * random_input(2, 8, 8, 16, 1)  # so that the regression is large enough for a tanh to tell
    network = same_weights(TumorNetwork(**options))
    expected = reference.tumor_outputs(network, x, options["attention"], options["regression"], options["depth"])
    return arrays(network(x)), expected


def check_change(outputs_of, base, name, value):
    """The output changes with the option and agrees with NumPy."""
    before, _ = outputs_of(base)
    after, expected = outputs_of({**base, name: value})
    assert after.keys() == expected.keys()
    for key in after:
        np.testing.assert_allclose(after[key], expected[key], rtol=1e-4, atol=1e-4)
    assert before.keys() != after.keys() or any(
        before[key].shape != after[key].shape or np.abs(before[key] - after[key]).max() > 1e-3 for key in after
    )


@pytest.mark.parametrize(("name", "value"), KIDNEY_CHANGES)
def test_kidney_option(name, value):
    check_change(kidney_outputs, KIDNEY, name, value)


@pytest.mark.parametrize(("name", "value"), TUMOR_CHANGES)
def test_tumor_option(name, value):
    check_change(tumor_outputs, TUMOR, name, value)


@pytest.mark.parametrize(
    ("network", "base", "changes"), [(KidneyNetwork, KIDNEY, KIDNEY_CHANGES), (TumorNetwork, TUMOR, TUMOR_CHANGES)]
)
def test_every_option_is_here(network, base, changes):
    assert set(base) == {name for name, _ in changes}
    assert set(base) | ELSEWHERE == set(inspect.signature(network).parameters)


@pytest.mark.parametrize(("network", "shape"), [(KidneyNetwork, (2, 8, 8, 3)), (TumorNetwork, (2, 4, 4, 8, 1))])
def test_momentum_moves_the_averages(network, shape):
    """After one batch in training mode, mean = momentum * mean + (1 - momentum) * batch mean."""
    x = random_input(*shape)
    means = {}
    for momentum in (0.25, 0.75):
        built = same_weights(network(2, 1, batch_norm_momentum=momentum))
        before = built.get_layer("encoder_0_normalization_0").moving_mean.numpy()
        batch = reference.convolve(x, built.get_layer("encoder_0_convolution_0")).mean(axis=tuple(range(x.ndim - 1)))
        built(x, training=True)
        means[momentum] = built.get_layer("encoder_0_normalization_0").moving_mean.numpy()
        np.testing.assert_allclose(means[momentum], momentum * before + (1 - momentum) * batch, rtol=1e-5, atol=1e-6)
    assert np.abs(means[0.25] - means[0.75]).max() > 1e-2
