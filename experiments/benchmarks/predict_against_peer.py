"""Compare a whole prediction with 27 windows through a network of nnU-Net's shape, by turns on one machine.

The median window of the peer (`predict_peer.py`) counts 27 times, half overlapping over a median case on nnU-Net's
grid; its reading, resampling and writing are not counted, ours are.
"""

from __future__ import annotations

import json
import statistics

from experiments import common
from experiments.benchmarks import synthetic

PEER = common.ROOT / "experiments" / "benchmarks" / "predict_peer.py"
WINDOWS = 27
KINDS = ("torch_float32", "openvino_bfloat16")


def main() -> None:
    """Run both by turns and write the ratios."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--peer_python", required=True, help="interpreter of an environment with PyTorch and OpenVINO")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--slices", type=int, default=108)
    parser.add_argument("--windows", type=int, default=2, help="timed in a turn")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    cases, checkpoint = synthetic.simulated_ct(arguments.slices), synthetic.random_checkpoint(arguments.width)
    line = [arguments.peer_python, str(PEER), f"--windows={arguments.windows}", "--openvino"]
    ours, peers = [], []
    for _ in range(arguments.repeats):
        peers.append(json.loads(common.run(line, capture=True).output.splitlines()[-1]))
        ours.append(synthetic.segment(cases, checkpoint))
    seconds = statistics.median(run["segment_seconds"] for run in ours)
    window = {kind: statistics.median(second for run in peers for second in run[kind]) for kind in KINDS}
    result = {
        "our_seconds": seconds,
        "peer_window_seconds": window,
        "times_faster": {kind: round(WINDOWS * one / seconds, 2) for kind, one in window.items()},
        "ours": ours,
        "peers": peers,
        "width": arguments.width,
        "slices": arguments.slices,
    }
    common.write_result(arguments.output, result)


if __name__ == "__main__":
    main()
