"""Compare a whole prediction with 27 windows through a network of nnU-Net's shape, alternately on one machine.

A median case on nnU-Net's grid needs 27 half-overlapping windows, so the median time of a window of the peer
(`predict_peer.py`) is multiplied by 27. Start, reading, resampling and writing count for us, but not for the peer.
"""

from __future__ import annotations

import json
import pathlib
import statistics
from typing import Any

from experiments import common
from experiments.benchmarks import synthetic
from kits_tf import checkpoint

PEER = common.ROOT / "experiments" / "benchmarks" / "predict_peer.py"
WINDOWS = 27
KINDS = ("torch_float32", "openvino_bfloat16")


def main() -> None:
    """Run both alternately and write the ratios."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--peer_python", required=True, help="interpreter of an environment with PyTorch and OpenVINO")
    parser.add_argument("--checkpoint_dir", default=checkpoint.DEFAULT, help="or random")
    parser.add_argument("--width", type=int, default=32, help="of random weights")
    parser.add_argument("--slices", type=int, default=108)
    parser.add_argument("--windows", type=int, default=2, help="timed in a turn")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    cases = synthetic.simulated_ct(arguments.slices)
    line = [arguments.peer_python, str(PEER), f"--windows={arguments.windows}", "--openvino"]
    ours, peers = [], []
    for _ in range(arguments.repeats):
        peers.append(json.loads(common.run(line, capture=True).output.splitlines()[-1]))
        ours.append(predict(cases, arguments.checkpoint_dir, arguments.width))
    seconds = statistics.median(run["seconds"] for run in ours)
    window = {kind: statistics.median(second for run in peers for second in run[kind]) for kind in KINDS}
    result = {
        "our_seconds": seconds,
        "peer_window_seconds": window,
        "times_faster": {kind: round(WINDOWS * one / seconds, 2) for kind, one in window.items()},
        "ours": ours,
        "peers": peers,
        "checkpoint": arguments.checkpoint_dir,
        "slices": arguments.slices,
    }
    common.write_result(arguments.output, result)


def predict(cases: pathlib.Path, checkpoint_dir: str, width: int) -> dict[str, Any]:
    """Segment a CT and return its time and memory, from the start of the program; without loading if random."""
    if checkpoint_dir == "random":
        found = synthetic.segment(cases, synthetic.random_checkpoint(width))
        return {"seconds": found["segment_seconds"], **found}
    flags = f"--input={cases}", f"--output_dir={common.BUILD / 'segmented'}", f"--checkpoint_dir={checkpoint_dir}"
    return common.command("predict", *flags, "--overwrite").figures()


if __name__ == "__main__":
    main()
