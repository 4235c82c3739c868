"""Time and peak memory of a prediction against the number of slices.

    python experiments/benchmarks/predict_sizes.py --engines=openvino,tensorflow --slices=29,108,300,1059

Random weights of preset `best` at the width given, N x 512 x 512, two kidneys given to stage 2, each run a process of
its own. Writes `experiments/results/predict_sizes.json`. Hardware meant: two cores, 8 GB; about 30 seconds for 100
slices with bfloat16 in hardware, ten times that in TensorFlow.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from experiments.benchmarks.machine import machine  # noqa: E402
from experiments.benchmarks.predict_setup import random_checkpoint, segment_apart, simulated_ct  # noqa: E402
from experiments.documents import write_result  # noqa: E402


def main():
    """Runs each engine on each length and writes what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", default="openvino")
    parser.add_argument("--slices", default="29,108,300,1059")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--work_dir", type=pathlib.Path, default=pathlib.Path("build/benchmarks"))
    arguments = parser.parse_args()
    checkpoint = random_checkpoint(arguments.work_dir, arguments.width)
    runs = {}
    for engine in arguments.engines.split(","):
        runs[engine] = {}
        for slices in map(int, arguments.slices.split(",")):
            case = simulated_ct(arguments.work_dir / "ct", slices)
            found = segment_apart(case, checkpoint, arguments.work_dir / "out", engine=engine)
            found["milliseconds_a_slice"] = round(1000 * found["segment_seconds"] / slices, 1)
            runs[engine][slices] = found
            print(engine, slices, json.dumps(found), flush=True)
    write_result("predict_sizes", {"width": arguments.width, "runs": runs, "machine": machine()})


if __name__ == "__main__":
    main()
