"""Measure time and peak memory of kits-predict against the number of slices, from the start of the program."""

from __future__ import annotations

import json

from experiments import common
from experiments.benchmarks import synthetic
from kits_tf import checkpoint


def main() -> None:
    """Segment CTs of several lengths."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--checkpoint_dir", default=checkpoint.DEFAULT)
    parser.add_argument("--slices", type=int, nargs="+", default=[29, 108, 300, 1059])
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    out, runs = common.BUILD / "segmented", {}
    for slices in arguments.slices:
        cases = synthetic.simulated_ct(slices, arguments.size)
        flags = f"--input={cases}", f"--output_dir={out}", f"--checkpoint_dir={arguments.checkpoint_dir}"
        run = common.command("predict", *flags, f"--engine={arguments.engine}", "--overwrite")
        [sidecar] = out.glob("prediction_*.json")
        stages = json.loads(sidecar.read_text())["seconds"]
        runs[slices] = {**run.figures(), "stages": stages}
    about = {"checkpoint": arguments.checkpoint_dir, "engine": arguments.engine, "size": arguments.size}
    common.write_result(arguments.output, {**about, "runs": runs})


if __name__ == "__main__":
    main()
