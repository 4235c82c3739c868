"""The networks once more, in NumPy float64, from the papers' formulas: what the Keras ones are checked against.

Shares nothing with the Keras networks but their weights, found by layer name. Arrays are [batch, *spatial, channels].
"""

import itertools

import keras
import numpy as np

EPSILON = 1e-5


def weights(layer):
    """{name: float64 array} of a layer's own weights."""
    return {variable.name: keras.ops.convert_to_numpy(variable).astype(np.float64) for variable in layer.weights}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolve(x, layer):
    """Stride one, zeros beyond the edges."""
    own = weights(layer)
    kernel = own["kernel"]
    spatial = x.shape[1:-1]
    padded = np.pad(x, [(0, 0), *[(size // 2, size // 2) for size in kernel.shape[: len(spatial)]], (0, 0)])
    total = 0
    for offset in np.ndindex(*kernel.shape[: len(spatial)]):
        window = tuple(slice(start, start + length) for start, length in zip(offset, spatial, strict=True))
        total = total + padded[(slice(None), *window)] @ kernel[offset]
    return total + own.get("bias", 0)


def normalise(x, layer):
    """Batch normalisation with the moving statistics, or group normalisation, by what weights the layer has."""
    own = weights(layer)
    if "moving_mean" in own:
        centred = (x - own["moving_mean"]) / np.sqrt(own["moving_variance"] + EPSILON)
        return centred * own["gamma"] + own["beta"]
    channels = x.shape[-1]
    size = channels // layer.groups
    out = np.empty_like(x)
    for sample, first in itertools.product(range(len(x)), range(0, channels, size)):
        group = x[sample, ..., first : first + size]
        out[sample, ..., first : first + size] = (group - group.mean()) / np.sqrt(group.var() + EPSILON)
    return out * own["gamma"] + own["beta"]


def corners(rank):
    """(0, ..., 0), (0, ..., 1), ...: the phases of one pooling."""
    return list(itertools.product((0, 1), repeat=rank))


def phase(corner):
    """The index of one phase."""
    return (slice(None), *[slice(first, None, 2) for first in corner])


def signs(rank):
    """The orthonormal Haar matrix, the Kronecker power of [[1, 1], [1, -1]] / sqrt(2): [bands, phases]."""
    matrix = np.ones((1, 1))
    for _ in range(rank):
        matrix = np.kron(matrix, np.array([[1, 1], [1, -1]]) / np.sqrt(2))
    return matrix


def pool(x, kind):
    """One pooling: "polyphase", "haar" or "max"."""
    rank = x.ndim - 2
    phases = [x[phase(corner)] for corner in corners(rank)]
    if kind == "max":
        return np.max(phases, axis=0)
    if kind == "haar":
        phases = list(np.tensordot(signs(rank), phases, axes=1))
    return np.concatenate(phases, axis=-1)


def unpool(x, kind, layer):
    """Its counterpart: the inverse, or for "max" the up-convolution `layer`."""
    rank = x.ndim - 2
    if kind == "max":
        own = weights(layer)
        parts = [x @ own["kernel"][corner].T + own["bias"] for corner in corners(rank)]
    else:
        parts = np.split(x, 2**rank, axis=-1)
        if kind == "haar":
            parts = np.tensordot(signs(rank).T, parts, axes=1)
    out = np.empty((len(x), *[2 * length for length in x.shape[1:-1]], parts[0].shape[-1]))
    for corner, part in zip(corners(rank), parts, strict=True):
        out[phase(corner)] = part
    return out


def upsample(x):
    """Twice the size by `np.interp`, axis by axis; new samples at old coordinates (i + 1/2) / 2 - 1/2."""
    for axis in range(1, x.ndim - 1):
        length = x.shape[axis]
        places = (np.arange(2 * length) + 0.5) / 2 - 0.5
        x = np.apply_along_axis(lambda line, p=places, n=length: np.interp(p, np.arange(n), line), axis, x)
    return x


def gate(x, g, layer):
    """alpha = sigmoid(psi^T relu(W_x x + W_g g + b_g) + b_psi), then BN(W (alpha x))."""
    kernel = weights(layer.features_map)["kernel"]
    w_x = sum(x[phase(corner)] @ kernel[corner] for corner in corners(x.ndim - 2))
    hidden = np.maximum(w_x + convolve(g, layer.gating_map), 0)
    alpha = upsample(sigmoid(convolve(hidden, layer.score)))
    return normalise(convolve(alpha * x, layer.output_map), layer.norm)


def channel_attention(x, layer):
    """x sigmoid(MLP(mean) + MLP(max))."""
    first, second = weights(layer.hidden), weights(layer.scores)

    def mlp(v):
        return np.maximum(v @ first["kernel"] + first["bias"], 0) @ second["kernel"] + second["bias"]

    flat = x.reshape(len(x), -1, x.shape[-1])
    scale = sigmoid(mlp(flat.mean(axis=1)) + mlp(flat.max(axis=1)))
    return x * scale.reshape(len(x), *[1] * (x.ndim - 2), -1)


def spatial_attention(x, layer):
    """x sigmoid(BN(conv7([max; mean])))."""
    summary = np.stack([x.max(axis=-1), x.mean(axis=-1)], axis=-1)
    return x * sigmoid(normalise(convolve(summary, layer.scores), layer.norm))


def cbam(x, layer):
    """Channel attention, then spatial attention."""
    return spatial_attention(channel_attention(x, layer.channel), layer.spatial)


def block(x, network, name):
    """Two times convolution, normalisation, ReLU; then CBAM where the network has one."""
    for index in (0, 1):
        x = convolve(x, network.get_layer(f"{name}_convolution_{index}"))
        x = np.maximum(normalise(x, network.get_layer(f"{name}_normalization_{index}")), 0)
    try:
        return cbam(x, network.get_layer(f"{name}_cbam"))
    except ValueError:
        return x


def features(network, x, pooling, gates, depth):
    """The last decoder's features of either network."""
    x = np.asarray(x, np.float64)
    skips = []
    for level in range(depth):
        skips.append(block(x, network, f"encoder_{level}"))
        x = pool(skips[-1], pooling)
    x = block(x, network, "bottom")
    for level in reversed(range(depth)):
        skip = skips[level]
        if gates and level > 0:
            skip = gate(skip, x, network.get_layer(f"gate_{level}"))
        x = unpool(x, pooling, network.get_layer(f"unpooling_{level}"))
        x = block(np.concatenate([skip, x], axis=-1), network, f"decoder_{level}")
    return x


def kidney_outputs(network, x, pooling, attention, reconstruction, depth):
    """The outputs of a `KidneyNetwork` built with these options."""
    last = features(network, x, pooling, attention, depth)
    names = ["logits"] + (["reconstruction"] if reconstruction != "none" else [])
    return {name: convolve(last, network.get_layer(name)) for name in names}


def tumor_outputs(network, x, attention, regression, depth):
    """The outputs of a `TumorNetwork` built with these options."""
    last = features(network, x, "max", attention in ("gate", "both"), depth)
    outputs = {name: convolve(last, network.get_layer(name)) for name in ("logits", "regression")}
    if regression == "signed_distance":
        outputs["regression"] = np.tanh(outputs["regression"])
    return outputs
