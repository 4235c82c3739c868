"""What the networks cost: parameters, multiply-adds, activation memory and receptive field, for widths 16, 32 and 64.

    python experiments/network_table.py

Counts from the layers' shapes; nothing is run. Two cores: about a minute, and 2 GB of memory for the widest network.
Writes `experiments/results/network_table.json` and the table in docs/networks.md.
"""

import argparse
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from experiments.documents import replace_block, table, write_result  # noqa: E402

WIDTHS = (16, 32, 64)
HALF_SLICE = (512, 256)  # half of a 512 x 512 slice
SUB_BLOCK = (160, 80, 80)  # a quarter of a cube of 160 voxels
FLOAT_BYTES = 4
NETWORKS = {
    "polyphase U-Net (axial)": ("kidney", {"pooling": "polyphase"}),
    "max-pool U-Net (coronal, sagittal)": ("kidney", {"pooling": "max"}),
    "3D U-Net with CBAM (tumor)": ("tumor", {}),
}


def main():
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    arguments = parser.parse_args()
    results = [measure(name, width) for name in NETWORKS for width in arguments.widths]
    write_result("network_table", results)
    header = ["network", "base width", "parameters", "multiply-adds", "activations, float32", "receptive field"]
    rows = [
        [
            result["network"],
            result["base_filters"],
            f"{result['parameters']:,}".replace(",", " "),
            f"{result['multiply_adds'] / 1e9:.1f} G",
            f"{result['activation_bytes'] / 2**20:.0f} MiB",
            f"{result['receptive_field']} {'pixels' if len(result['size']) == 2 else 'voxels'}",
        ]
        for result in results
    ]
    lines = table(header, rows)
    print("\n".join(lines))
    replace_block("networks.md", "cost", lines)


def measure(name, width):
    """One row of the table, as a dict."""
    import keras

    from kits_tf import models

    stage, options = NETWORKS[name]
    kind, size = {"kidney": (models.KidneyNetwork, HALF_SLICE), "tumor": (models.TumorNetwork, SUB_BLOCK)}[stage]
    keras.backend.clear_session()
    network = kind(width, size=size, **options)
    depth = network.options["depth"]
    return {
        "network": name,
        "base_filters": width,
        "size": size,
        "parameters": network.count_params(),
        "multiply_adds": sum(multiply_adds(layer) for layer in network.layers),
        "activation_bytes": activation_bytes(network),
        "receptive_field": receptive_field(depth, gates=stage == "kidney", cbam=stage == "tumor"),
    }


def grid(layer):
    """Number of positions of a layer's output."""
    return math.prod(layer.output.shape[1:-1])


def multiply_adds(layer):
    """Multiply-adds of a layer's convolutions and dense layers for one sample; other arithmetic is not counted."""
    from kits_tf.models import CBAM, AttentionGate

    positions = grid(layer)
    if isinstance(layer, AttentionGate):
        coarse = positions // 2 ** (len(layer.output.shape) - 2)
        half = (layer.features_map, layer.gating_map, layer.score)
        return sum(coarse * weights(part) for part in half) + positions * weights(layer.output_map)
    if isinstance(layer, CBAM):
        dense = weights(layer.channel.hidden) + weights(layer.channel.scores)
        return 2 * dense + positions * weights(layer.spatial.scores)
    if not hasattr(layer, "kernel"):
        return 0
    if "Transpose" in type(layer).__name__:
        positions = math.prod(layer.input.shape[1:-1])
    return positions * weights(layer)


def weights(layer):
    """Number of a layer's weights that multiply, so without biases."""
    return math.prod(layer.kernel.shape)


def activation_bytes(network):
    """Memory of every layer's output for one sample, as training keeps them; what gates and CBAMs hold inside is not
    counted.
    """
    outputs = [layer.output for layer in network.layers if not type(layer).__name__ == "InputLayer"]
    return FLOAT_BYTES * sum(math.prod(output.shape[1:]) for output in outputs)


def receptive_field(depth, gates, cbam):
    """Largest extent along one axis of the input that one output value depends on, through convolutions.

    Intervals are followed back from an output at every phase of the pooling. The channel attention of CBAM, which
    averages over the whole input, is left out; its 7-wide convolution is not.

    Args:
        depth: number of poolings.
        gates: whether attention gates resample from the coarser grid (a neighbour more on either side).
        cbam: whether each block ends in a 7-wide convolution.
    """
    reach = 2 + (3 if cbam else 0)  # of a block: two 3-wide convolutions
    extents = []
    for position in range(2**depth):
        low = high = position
        for level in range(depth):
            low, high = low - reach, high + reach
            margin = 1 if gates and level > 0 else 0
            low, high = (low - margin) // 2, (high + margin) // 2
        low, high = low - reach, high + reach
        for _ in range(depth):
            low, high = 2 * low - reach, 2 * high + 1 + reach
        extents.append(high - low + 1)
    return max(extents)


if __name__ == "__main__":
    main()
