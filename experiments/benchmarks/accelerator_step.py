"""Training steps of the four networks at full size on one GPU: speed, memory, floor, and the same in PyTorch.

    python experiments/benchmarks/accelerator_step.py --output=accelerator_step.json

Meant for one H100 of 80 GB, with JAX, Keras and PyTorch. TensorFlow is not needed, so these are not the steps of
`kits-train`, only those of its networks and losses. `--small` tries it all at toy size on a CPU.

A step is forward, losses, gradient and Adam as the preset `paper` has them: its widths, batch and sample shapes.
Samples are random, one batch stays on the card. Ours is `kits_tf.models` and `kits_tf.losses` under Keras on JAX,
compiled by XLA, buffers donated. The peer, `accelerator_peer.py`, is the same networks in plain PyTorch: channels
last, cuDNN's search for the fastest kernel on, fused Adam, not compiled unless `--peer_compile` says so. Both train in
float32, whose products either may round to TF32 (a line says whether XLA did, by the error), and in bfloat16 over
float32 weights.

Every network, precision and side is a process of its own, so that peaks of memory stay apart. They prepare ahead, then
take their turns on the card. Milliseconds are the median of steps waited for one by one; "in a row" is the mean of as
many that are not. One that fails is reported and the others go on; where a batch does not fit, half of it is tried.
`--output` is written anew after every measurement. Peaks of memory hold what the search for kernels took.

The floor is the larger of two times. Arithmetic: operations of convolutions and dense layers, two a multiply-add,
three times for forward and both gradients, over the rate of a large matrix product in the same precision. Memory: over
the rate of a large copy, what no execution layer by layer does without. Forward, each convolution (those in gates and
CBAMs aside) reads its input and writes its output; backward, it reads input and output's gradient and writes the
input's; Adam reads and writes weights and moments; gradients are written and read. Norms, ReLUs and pooling count as
fused, so free. What the second-level cache spares is not taken off: a small network may come below that time.

The last column divides samples a second by what a core of the training pipeline delivers, augmented as the preset says
(`--pipeline`, from `pipeline_speed.py`, on the processor that it names).
"""

import argparse
import dataclasses
import importlib.util
import json
import math
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.benchmarks.accelerator_ceilings import ceilings  # noqa: E402
from experiments.benchmarks.accelerator_clock import check_card, timed  # noqa: E402
from experiments.benchmarks.accelerator_ours import ours  # noqa: E402
from experiments.benchmarks.accelerator_report import lines_of, rows_of  # noqa: E402
from experiments.benchmarks.accelerator_turns import Job, take_turns, wait_for_turn  # noqa: E402
from experiments.benchmarks.machine import machine  # noqa: E402
from experiments.benchmarks.training_batch import INPUTS, random_batch, sample_shape  # noqa: E402
from experiments.documents import result_path  # noqa: E402
from kits_tf import files  # noqa: E402
from kits_tf.config import preset  # noqa: E402

NETWORKS = {
    "kidney_axial": ("kidney", "axial"),
    "tumor": ("tumor", None),
    "kidney_coronal": ("kidney", "coronal"),
    "kidney_sagittal": ("kidney", "sagittal"),
}
PRECISIONS = ("float32", "mixed_bfloat16")
SMALL_KIDNEY = {"base_filters": 4, "batch_size": 2, "patch_rows": 32, "patch_columns": 32, "patch_slices": 32}
SMALL_TUMOR = {"base_filters": 4, "batch_size": 2, "grid": 32}


def main():
    """Measures everything in processes of their own, or in this one what `--only` names."""
    arguments = parse()
    if arguments.only:
        print(json.dumps(answer(arguments)), flush=True)
        return
    jobs = network_jobs(arguments)
    jobs.insert(1, Job("ceilings", "-", "-"))  # the first one's turn comes while others still prepare
    pipeline = json.loads(arguments.pipeline.read_text(encoding="utf-8")) if arguments.pipeline.exists() else None
    result = {"machine": machine(), "steps": arguments.steps, "small": arguments.small, "measured": []}
    begin = time.monotonic()
    for job, found in take_turns(jobs, arguments, lambda job: batch_size(job, arguments)):
        found["at_seconds"] = round(time.monotonic() - begin, 1)
        print(json.dumps({**job._asdict(), **found}), flush=True)
        if job.side == "ceilings":
            result["ceilings"] = found
        else:
            result["measured"].append({**job._asdict(), **found})
        result["rows"] = rows_of(result, pipeline)
        files.write_text(arguments.output, json.dumps(result, indent=1) + "\n")
    print("\n".join(["", *lines_of(result, pipeline)]))


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, help="JSON file; written after every measurement")
    parser.add_argument("--networks", type=names_among(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--precisions", type=names_among(PRECISIONS), default=list(PRECISIONS))
    parser.add_argument("--steps", type=int, default=20, help="timed one by one, and again in a row")
    parser.add_argument("--small", action="store_true", help="toy networks and batches, to try the script")
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which nothing new is begun")
    parser.add_argument("--job_seconds", type=float, default=300, help="after which one measurement is given up")
    parser.add_argument("--autotune_level", type=int, default=2, help="XLA's; its own is 4, and slower to compile")
    parser.add_argument("--no_peer", action="store_true")
    parser.add_argument("--peer_layout", choices=["channels_last", "contiguous"], default="channels_last")
    parser.add_argument("--peer_compile", action="store_true", help="torch.compile the peer")
    parser.add_argument("--pipeline", type=pathlib.Path, default=result_path("pipeline_speed"))
    parser.add_argument("--batch", type=int, default=0, help="of --only; 0: the preset's")
    parser.add_argument("--only", nargs=3, metavar=("SIDE", "NETWORK", "PRECISION"))
    arguments = parser.parse_args()
    if not arguments.only and not arguments.output:
        parser.error("--output is required")
    return arguments


def names_among(choices):
    """A parser of comma-separated names."""

    def parsed(text):
        names = text.split(",")
        if unknown := [name for name in names if name not in choices]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r}: takes {', '.join(choices)}")
        return names

    return parsed


def network_jobs(arguments):
    """Every network, precision and side, in the order in which they take their turns."""
    sides = ["ours"] if arguments.no_peer else ["ours", "peer"]
    if "peer" in sides and importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed here: no peer.", flush=True)
        sides = ["ours"]
    return [Job(side, *pair) for pair in both(arguments) for side in sides]


def both(arguments):
    """(network, precision) of each row."""
    return [(network, precision) for network in arguments.networks for precision in arguments.precisions]


def answer(arguments):
    """What the one measurement of `--only` finds, or {"error"}."""
    side, network, precision = arguments.only
    try:
        if side == "ceilings":
            return ceilings(arguments.small)
        config = config_of(network, arguments)
        found = {"ours": ours, "peer": peer}[side](config, precision, arguments)
        return {"batch": config.batch_size, "shape": sample_shape(config), **found}
    except Exception as error:  # whatever it is, it belongs in the report
        return {"error": f"{type(error).__name__}: {error}"[:600]}


def config_of(network, arguments):
    """The preset's config of a network, with `--batch` in place of its batch size where there is one."""
    stage, plane = NETWORKS[network]
    config = preset("paper", stage, plane)
    if arguments.small:
        config = dataclasses.replace(config, **(SMALL_KIDNEY if stage == "kidney" else SMALL_TUMOR))
    return dataclasses.replace(config, batch_size=arguments.batch or config.batch_size)


def batch_size(job, arguments):
    """The preset's batch size for a job; 1 for the ceilings, which have none to halve."""
    return 1 if job.side == "ceilings" else config_of(job.network, arguments).batch_size


def peer(config, precision, arguments):
    """The same network in PyTorch, timed, with its memory."""
    import torch

    from experiments.benchmarks import accelerator_peer

    torch.manual_seed(0)
    network = accelerator_peer.Peer(config, sample_shape(config)[-1])
    arrays = random_batch(config)
    arrays["image"] = arrays.pop(INPUTS[config.stage])
    wait_for_turn()
    check_card(torch.cuda.is_available(), arguments)
    return accelerator_peer.measure(network, arrays, config, precision, arguments, timed)


if __name__ == "__main__":
    main()
