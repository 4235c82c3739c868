"""Count what the networks cost: parameters, multiply-adds, activation memory and receptive field."""

from __future__ import annotations

import math
from typing import Any

from experiments import common

WIDTHS = (16, 32, 64)
HALF_SLICE = (512, 256)  # half of a 512 x 512 slice
SUB_BLOCK = (160, 80, 80)  # a quarter of a cube of 160 voxels
FLOAT_BYTES = 4
NETWORKS: dict[str, tuple[str, tuple[int, ...], dict[str, str]]] = {
    "polyphase U-Net (axial)": ("kidney", HALF_SLICE, {"pooling": "polyphase"}),
    "max-pool U-Net (coronal, sagittal)": ("kidney", HALF_SLICE, {"pooling": "max"}),
    "3D U-Net with CBAM (tumor)": ("tumor", SUB_BLOCK, {}),
}


def main() -> None:
    """Count and print the table."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    arguments = parser.parse_args()
    rows = [measure(name, width) for name in NETWORKS for width in arguments.widths]
    print("| network | base width | parameters | multiply-adds | activations, float32 | receptive field |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['network']} | {row['base_filters']} | {row['parameters']:,} | {row['multiply_adds'] / 1e9:.1f} G "
            f"| {row['activation_bytes'] / 2**20:.0f} MiB | {row['receptive_field']} |"
        )
    common.write_result(arguments.output, {"networks": rows})


def measure(name: str, width: int) -> dict[str, Any]:
    """Return one row of the table."""
    import keras

    from kits_tf import models

    stage, size, options = NETWORKS[name]
    keras.backend.clear_session()
    network = {"kidney": models.KidneyNetwork, "tumor": models.TumorNetwork}[stage](width, size=size, **options)
    return {
        "network": name,
        "base_filters": width,
        "size": size,
        "parameters": network.count_params(),
        "multiply_adds": sum(multiply_adds(layer) for layer in network.layers),
        "activation_bytes": activation_bytes(network),
        "receptive_field": receptive_field(network.options["depth"], stage == "kidney", stage == "tumor"),
    }


def multiply_adds(layer: Any) -> int:
    """Return the multiply-adds of a layer's convolutions and dense layers for one sample."""
    from kits_tf.models import CBAM, AttentionGate

    positions = math.prod(layer.output.shape[1:-1])
    if isinstance(layer, AttentionGate):
        coarse = positions // 2 ** (len(layer.output.shape) - 2)
        parts = layer.features_map, layer.gating_map, layer.score
        return sum(coarse * weights(part) for part in parts) + positions * weights(layer.output_map)
    if isinstance(layer, CBAM):
        dense = weights(layer.channel.hidden) + weights(layer.channel.scores)
        return 2 * dense + positions * weights(layer.spatial.scores)
    if not hasattr(layer, "kernel"):
        return 0
    if "Transpose" in type(layer).__name__:
        positions = math.prod(layer.input.shape[1:-1])
    return positions * weights(layer)


def weights(layer: Any) -> int:
    """Return the number of a layer's weights without biases."""
    return math.prod(layer.kernel.shape)


def activation_bytes(network: Any) -> int:
    """Return the memory of all layers' outputs for one sample, which training keeps.

    Activations inside gates and CBAMs are not counted.
    """
    outputs = [layer.output for layer in network.layers if type(layer).__name__ != "InputLayer"]
    return FLOAT_BYTES * sum(math.prod(output.shape[1:]) for output in outputs)


def receptive_field(depth: int, gates: bool, cbam: bool) -> int:
    """Return the largest extent of the input, along one axis, that an output depends on through convolutions.

    Intervals are followed back from an output at every phase of the pooling. The channel attention of CBAM, which
    averages over the whole input, is left out; its convolution of width 7 is not.

    Args:
        depth: Number of poolings.
        gates: Whether attention gates resample from the coarser grid, one neighbour more on either side.
        cbam: Whether each block ends in a convolution of width 7.
    """
    reach = 2 + (3 if cbam else 0)  # of a block: two convolutions of width 3
    extents = []
    for position in range(2**depth):
        low = high = position
        for level in range(depth):
            margin = reach + (1 if gates and level > 0 else 0)
            low, high = (low - margin) // 2, (high + margin) // 2
        low, high = low - reach, high + reach
        for _ in range(depth):
            low, high = 2 * low - reach, 2 * high + 1 + reach
        extents.append(high - low + 1)
    return max(extents)


if __name__ == "__main__":
    main()
