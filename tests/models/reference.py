"""The networks once more, in NumPy float64, from the papers' formulas: what the Keras ones are checked against.

Shares nothing with the Keras networks but their weights, found by layer name. Arrays are [batch, *spatial, channels].
"""

import itertools

import keras
import numpy as np
from scipy import ndimage

HAAR = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2  # [bands, phases]


def weights(layer):
    """{name: float64 array} of a layer's own weights."""
    return {variable.name: keras.ops.convert_to_numpy(variable).astype(np.float64) for variable in layer.weights}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolve(x, layer):
    """Stride one, zeros beyond the edges."""
    own, rank = weights(layer), x.ndim - 2
    sizes = own["kernel"].shape[:rank]
    padded = np.pad(x, [(0, 0), *[(size // 2, size // 2) for size in sizes], (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, sizes, axis=range(1, rank + 1))
    axes = [*range(rank + 2, 2 * rank + 2), rank + 1], range(rank + 1)
    return np.tensordot(windows, own["kernel"], axes) + own.get("bias", 0)


def normalise(x, layer):
    """Batch normalisation with the moving statistics, or group normalisation, by what weights the layer has."""
    own = weights(layer)
    if "moving_mean" in own:
        centred = (x - own["moving_mean"]) / np.sqrt(own["moving_variance"] + 1e-5)
    else:
        groups = x.reshape(len(x), -1, layer.groups, x.shape[-1] // layer.groups)
        mean, variance = (statistic(groups, axis=(1, 3), keepdims=True) for statistic in (np.mean, np.var))
        centred = ((groups - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    return centred * own["gamma"] + own["beta"]


def corners(x):
    """(0, ..., 0), (0, ..., 1), ...: the phases of one pooling."""
    return list(itertools.product((0, 1), repeat=x.ndim - 2))


def phase(corner):
    """The index of one phase."""
    return (slice(None), *[slice(first, None, 2) for first in corner])


def pool(x, kind):
    """One pooling: "polyphase", "haar" or "max"."""
    phases = [x[phase(corner)] for corner in corners(x)]
    if kind == "max":
        return np.max(phases, axis=0)
    return np.concatenate(phases if kind == "polyphase" else list(np.tensordot(HAAR, phases, axes=1)), axis=-1)


def unpool(x, kind, layer):
    """Its counterpart: the inverse, or for "max" the up-convolution `layer`."""
    if kind == "max":
        own = weights(layer)
        parts = [x @ own["kernel"][corner].T + own["bias"] for corner in corners(x)]
    else:
        parts = np.split(x, 4, axis=-1)
        parts = np.tensordot(HAAR, parts, axes=1) if kind == "haar" else parts
    out = np.empty((len(x), *[2 * length for length in x.shape[1:-1]], parts[0].shape[-1]))
    for corner, part in zip(corners(x), parts, strict=True):
        out[phase(corner)] = part
    return out


def upsample(x):
    """Twice the size by linear interpolation; new samples at old coordinates (i + 1/2) / 2 - 1/2."""
    return ndimage.zoom(x, (1, *[2] * (x.ndim - 2), 1), order=1, mode="nearest", grid_mode=True)


def gate(x, g, layer):
    """alpha = sigmoid(psi^T relu(W_x x + W_g g + b_g) + b_psi), then BN(W (alpha x))."""
    kernel = weights(layer.features_map)["kernel"]
    w_x = sum(x[phase(corner)] @ kernel[corner] for corner in corners(x))
    hidden = np.maximum(w_x + convolve(g, layer.gating_map), 0)
    alpha = upsample(sigmoid(convolve(hidden, layer.score)))
    return normalise(convolve(alpha * x, layer.output_map), layer.norm)


def cbam(x, layer):
    """x sigmoid(MLP(mean) + MLP(max)) over space, then x sigmoid(BN(conv7([max; mean]))) over channels."""
    first, second = weights(layer.channel.hidden), weights(layer.channel.scores)

    def mlp(v):
        return np.maximum(v @ first["kernel"] + first["bias"], 0) @ second["kernel"] + second["bias"]

    space = tuple(range(1, x.ndim - 1))
    x = x * sigmoid(mlp(x.mean(axis=space, keepdims=True)) + mlp(x.max(axis=space, keepdims=True)))
    summary = np.stack([x.max(axis=-1), x.mean(axis=-1)], axis=-1)
    return x * sigmoid(normalise(convolve(summary, layer.spatial.scores), layer.spatial.norm))


def block(x, network, name):
    """Two times convolution, normalisation, ReLU; then CBAM where the network has one."""
    for index in (0, 1):
        x = convolve(x, network.get_layer(f"{name}_convolution_{index}"))
        x = np.maximum(normalise(x, network.get_layer(f"{name}_normalization_{index}")), 0)
    return cbam(x, network.get_layer(f"{name}_cbam")) if network.options["attention"] in ("cbam", "both") else x


def features(network, x):
    """The last decoder's features of either network."""
    depth, pooling = network.options["depth"], network.options.get("pooling", "max")
    x, skips = np.asarray(x, np.float64), []
    for level in range(depth):
        skips.append(block(x, network, f"encoder_{level}"))
        x = pool(skips[-1], pooling)
    x = block(x, network, "bottom")
    for level in reversed(range(depth)):
        skip = skips[level]
        if level > 0 and network.options["attention"] in (True, "gate", "both"):
            skip = gate(skip, x, network.get_layer(f"gate_{level}"))
        x = unpool(x, pooling, network.get_layer(f"unpooling_{level}"))
        x = block(np.concatenate([skip, x], axis=-1), network, f"decoder_{level}")
    return x


def outputs(network, x):
    """The outputs of a `KidneyNetwork` or `TumorNetwork`."""
    last, options = features(network, x), network.options
    second = "regression" if "regression" in options else "reconstruction"
    names = ["logits"] if options[second] == "none" else ["logits", second]
    found = {name: convolve(last, network.get_layer(name)) for name in names}
    return found | ({"regression": np.tanh(found[second])} if options[second] == "signed_distance" else {})
