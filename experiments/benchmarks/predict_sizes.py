"""Measure time and peak memory of kits-predict against the number of slices, with random weights of preset `best`."""

from __future__ import annotations

from experiments import common
from experiments.benchmarks import synthetic


def main() -> None:
    """Run each engine on each length."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--engines", nargs="+", default=["openvino"])
    parser.add_argument("--slices", type=int, nargs="+", default=[29, 108, 300, 1059])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    checkpoint = synthetic.random_checkpoint(arguments.width)
    runs: dict[str, dict[int, dict]] = {engine: {} for engine in arguments.engines}
    for engine in arguments.engines:
        for slices in arguments.slices:
            found = synthetic.segment(synthetic.simulated_ct(slices, arguments.size), checkpoint, f"--engine={engine}")
            found["milliseconds_a_slice"] = round(1000 * found["segment_seconds"] / slices, 1)
            runs[engine][slices] = found
    common.write_result(arguments.output, {"width": arguments.width, "size": arguments.size, "runs": runs})


if __name__ == "__main__":
    main()
