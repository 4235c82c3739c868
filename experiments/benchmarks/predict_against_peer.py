"""A whole prediction of a 108x512x512 CT against 27 windows through a network of nnU-Net's shape, in one run.

    python experiments/benchmarks/predict_against_peer.py --peer_python=PEER/bin/python --width=32 --repeats=3

By turns: windows of the peer (see `predict_peer.py`), then this package with random weights of preset `best`, fastest
engine, reading, compiling and writing included, loading of the weights beside it. The median window counts 27 times;
nothing of the peer's reading, resampling and writing is counted. Writes
`experiments/results/predict_against_peer_WIDTH.json`. Hardware meant: two cores, 8 GB, about 15 minutes.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from experiments.benchmarks.machine import machine  # noqa: E402
from experiments.benchmarks.predict_setup import random_checkpoint, segment_apart, simulated_ct  # noqa: E402
from experiments.documents import write_result  # noqa: E402

PEER = pathlib.Path(__file__).with_name("predict_peer.py")
WINDOWS = 27  # of 80x160x160, half overlapping, over the median case on nnU-Net's grid


def main():
    """Runs both by turns and writes the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", required=True)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--slices", type=int, default=108)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work_dir", type=pathlib.Path, default=pathlib.Path("build/benchmarks"))
    arguments = parser.parse_args()
    case = simulated_ct(arguments.work_dir / "ct", arguments.slices)
    checkpoint = random_checkpoint(arguments.work_dir, arguments.width)
    ours, peers = [], []
    for _ in range(arguments.repeats):
        peers.append(peer(arguments.peer_python, arguments.windows))
        ours.append(segment_apart(case, checkpoint, arguments.work_dir / "out"))
    result = figures(ours, peers) | {"width": arguments.width, "slices": arguments.slices, "machine": machine()}
    print(json.dumps(result, indent=1))
    write_result(f"predict_against_peer_{arguments.width}", result)


def peer(python, windows):
    """What the peer says of some windows."""
    line = [python, str(PEER), f"--windows={windows}", "--openvino"]
    return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def figures(ours, peers):
    """Medians and ratios."""
    seconds = statistics.median(run["segment_seconds"] for run in ours)
    window = {
        name: statistics.median(second for run in peers for second in run[name])
        for name in ("torch_float32", "openvino_bfloat16")
    }
    return {
        "our_seconds": seconds,
        "peer_window_seconds": window,
        "times_faster": {name: round(WINDOWS * one / seconds, 2) for name, one in window.items()},
        "ours": ours,
        "peers": peers,
    }


if __name__ == "__main__":
    main()
