"""What follows from the measurements of `accelerator_step.py`, and its tables."""

import math

from experiments.documents import table


def rows_of(result, pipeline):
    """One dict a network and precision: both sides' figures and what follows from them."""
    found = {(one["network"], one["precision"], one["side"]): one for one in result["measured"]}
    pairs = dict.fromkeys((network, precision) for network, precision, _ in found)
    limits = result.get("ceilings", {})
    return [
        row_of(*pair, found.get((*pair, "ours"), {}), found.get((*pair, "peer"), {}), limits, pipeline)
        for pair in pairs
    ]


def row_of(network, precision, ours, peer, limits, pipeline):
    """What follows from one network's figures; whatever was not measured is not there."""
    row = {"network": network, "precision": precision}
    row |= {f"{side}_error": one["error"] for side, one in (("ours", ours), ("peer", peer)) if "error" in one}
    if "median_ms" in peer:
        row |= {"peer_ms": peer["median_ms"], "peer_in_a_row_ms": peer["in_a_row_ms"], "peer_batch": peer["batch"]}
        row["peer_gb"] = gigabytes(peer["peak_bytes"])
    if "median_ms" not in ours:
        return row
    samples = 1e3 * ours["batch"] / ours["median_ms"]
    row |= {name: ours[name] for name in ("batch", "median_ms", "in_a_row_ms", "compile_seconds")}
    row |= {"samples_a_second": round(samples, 1), "gb": gigabytes(ours["peak_bytes"])}
    row["planned_gb"] = gigabytes(ours["planned_bytes"])
    row["megavoxels_a_second"] = round(samples * math.prod(ours["shape"][:-1]) / 1e6, 1)
    row["tera_operations_a_second"] = round(ours["operations"] / ours["median_ms"] / 1e9, 2)
    row["xla_tera_operations_a_second"] = round((ours["xla_operations"] or 0) / ours["median_ms"] / 1e9, 2)
    row["tera_operations"] = round(ours["operations"] / 1e12, 4)
    row["xla_tera_operations"] = round((ours["xla_operations"] or 0) / 1e12, 4)
    if "peer_ms" in row:  # for each sample, as either side's batch may have been cut
        row["ours_over_peer"] = round(ours["median_ms"] / ours["batch"] / (row["peer_ms"] / row["peer_batch"]), 3)
    if precision in limits:
        times = (1e3 * ours["operations"] / limits[precision], 1e3 * ours["bytes"] / limits["bytes_a_second"])
        row |= {"arithmetic_floor_ms": round(times[0], 3), "memory_floor_ms": round(times[1], 3)}
        row["ours_over_floor"] = round(ours["median_ms"] / max(times), 2)
    if peer.get("trained_parameters", ours["trained_parameters"]) != ours["trained_parameters"]:
        row["peer_error"] = "is another network: it has another number of parameters"
    return row | fed_by(network, samples, pipeline)


def gigabytes(count):
    """Bytes as GB; None where they are not known."""
    return None if count is None else round(count / 1e9, 2)


def fed_by(network, samples, pipeline):
    """Cores that the training pipeline takes for so many samples a second, augmented as `paper` says and fully."""
    stage = network.removeprefix("kidney_")
    rates = {
        one["kind"]: one["samples_a_second"] / one["cpu_seconds_a_second"]
        for one in (pipeline or {}).get("stages", [])
        if one["stage"] == stage and "cpu_seconds_a_second" in one
    }
    return {f"cores_{kind}": round(samples / rates[kind], 1) for kind in ("augmented", "full") if kind in rates}


SPEED = {
    "network": "network",
    "precision": "precision",
    "batch": "batch",
    "ms": "median_ms",
    "in a row": "in_a_row_ms",
    "PyTorch ms": "peer_ms",
    "ours / PyTorch": "ours_over_peer",
    "samples/s": "samples_a_second",
    "Mvoxel/s": "megavoxels_a_second",
    "TFLOP/s": "tera_operations_a_second",
    "TFLOP/s by XLA's count": "xla_tera_operations_a_second",
    "floor, arithmetic ms": "arithmetic_floor_ms",
    "memory ms": "memory_floor_ms",
    "ours / floor": "ours_over_floor",
    "GB": "gb",
    "PyTorch GB": "peer_gb",
    "compiled in s": "compile_seconds",
    "cores to feed it": "cores_augmented",
}


def lines_of(result, pipeline):
    """The tables and what they rest on, in Markdown."""
    lines = ceiling_lines(result.get("ceilings", {}))
    torch = [f"PyTorch {one['torch']}, {one['layout']}" for one in result["measured"] if "torch" in one][:1]
    lines += [f"Peer: {line}." for line in torch]
    if pipeline:
        lines.append(f"Cores: of {pipeline['machine']['processor']}, as `pipeline_speed.py` measured them.")
    rows = [[shown(row.get(name)) for name in SPEED.values()] for row in result["rows"]]
    lines += ["", *table(list(SPEED), rows)]
    errors = [(row, side) for row in result["rows"] for side in ("ours", "peer") if f"{side}_error" in row]
    return lines + [f"{row['network']} {row['precision']} {side}: {row[f'{side}_error']}" for row, side in errors]


def shown(value):
    """A table's cell."""
    return "" if value is None else value


def ceiling_lines(limits):
    """What the card reaches, in words."""
    if "float32" not in limits:
        return [f"No ceilings: {limits.get('error', 'not measured')}"]
    rates = [limits[name] / 1e12 for name in ("float32", "mixed_bfloat16", "bytes_a_second")]
    errors = [limits[f"float32_{name}_error"] for name in ("product", "convolution")]
    rounded = ["rounds to TF32" if error > 2e-5 else "stays float32" for error in errors]
    return [
        f"{limits['device']}, JAX {limits['jax']}, Keras {limits['keras']}.",
        f"Ceilings: product {rates[0]:.1f} TFLOP/s in float32, {rates[1]:.1f} in bfloat16; copy {rates[2]:.2f} TB/s.",
        f"XLA's float32 product {rounded[0]} (error {errors[0]:.1e}), convolution {rounded[1]} ({errors[1]:.1e}).",
    ]
