"""Make the default weights: paint and simulate samples, train the four networks on them, pack and score the weights.

python -m experiments.default_weights.run --real_ct=DIR --output_dir=DIR --minutes=90

Needs PyTorch beside this package; on a GPU it trains there. Samples are written beside the training, which reads new
ones as they come. The three kidney networks train one after the other, the tumor network beside them. Everything of
a run stays in the output folder: samples/, weights/ with logs, checkpoint/, scores.json and result.json.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from experiments import common
from experiments.default_weights import pack, samples
from experiments.default_weights.networks import NETWORKS

PACKAGE = "experiments.default_weights"
KIDNEY_SHARES = {"kidney_axial": 4 / 9, "kidney_coronal": 2.5 / 9, "kidney_sagittal": 2.5 / 9}
POLL_SECONDS = 1.0


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--real_ct", type=pathlib.Path, required=True, help="folder of NAME/imaging.nii.gz, kidney.nii.gz"
    )
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=90, help="of training, by the clock")
    parser.add_argument("--pretrained", default="default", help="weights to start from; empty for random ones")
    parser.add_argument(
        "--num_samples", type=int, default=3000, help="most samples from real CTs, and from simulations"
    )
    parser.add_argument("--first_samples", type=int, default=24, help="of each, before training begins")
    parser.add_argument("--writers", type=int, default=1, help="processes that paint, and as many that simulate")
    parser.add_argument("--threads", type=int, default=1, help="of each training, on a CPU")
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--simulated", type=int, default=10, help="simulations to score")
    arguments = parser.parse_args()
    home = arguments.output_dir
    start = time.monotonic()
    with writing(home / "samples", arguments):
        wait_for_samples(home / "samples", arguments.first_samples)
        prepared = time.monotonic()
        train_all(home, arguments)
    trained = time.monotonic()
    pack.pack_all(home / "weights", home / "checkpoint")
    scored = [f"--checkpoint_dir={home / 'checkpoint'}", f"--real_ct={arguments.real_ct}"]
    scored += [f"--simulated={arguments.simulated}", f"--output={home / 'scores.json'}"]
    common.run([sys.executable, "-m", f"{PACKAGE}.score", *scored, f"--picture={home / 'failures.png'}"])
    seconds = {"samples": prepared - start, "training": trained - prepared, "scoring": time.monotonic() - trained}
    result = {
        "options": {name: value for name, value in vars(arguments).items() if name not in ("real_ct", "output_dir")},
        "minutes": {name: round(value / 60, 1) for name, value in seconds.items()},
        "samples": {kind: len(samples.complete(home / "samples" / kind)) for kind in ("real", "simulated")},
        "networks": {name: pack.last_row(home / "weights" / f"{name}.csv") for name in NETWORKS},
        "scores": json.loads((home / "scores.json").read_text(encoding="utf-8")),
    }
    common.write_result(home / "result.json", result)


@contextlib.contextmanager
def writing(folder: pathlib.Path, arguments: argparse.Namespace) -> Iterator[None]:
    """Write samples in other processes until the block ends."""
    commands = []
    for seed in range(1, arguments.writers + 1):
        own = [f"--seed={seed}", f"--num_samples={arguments.num_samples // arguments.writers}"]
        commands.append(["paint", f"--real_ct={arguments.real_ct}", f"--output_dir={folder / 'real'}", *own])
        commands.append(["simulate", f"--output_dir={folder / 'simulated'}", *own])
    for kind in ("real", "simulated"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        samples.remove_unfinished(folder / kind)
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join([str(common.ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | one_thread | {"PYTHONPATH": path}
    processes = [
        subprocess.Popen([sys.executable, "-m", f"{PACKAGE}.{name}", *flags], env=environment)
        for name, *flags in commands
    ]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def wait_for_samples(folder: pathlib.Path, count: int) -> None:
    """Return once there are `count` samples of each kind."""
    while min(len(samples.complete(folder / kind)) for kind in ("real", "simulated")) < count:
        time.sleep(POLL_SECONDS)


def train_all(home: pathlib.Path, arguments: argparse.Namespace) -> None:
    """Train the kidney networks one after the other, and the tumor network beside them."""
    plans = [KIDNEY_SHARES, {"tumor": 1.0}]

    def train(shares: dict[str, float]) -> None:
        for name, share in shares.items():
            flags = [f"--network={name}", f"--samples_dir={home / 'samples'}", f"--output_dir={home / 'weights'}"]
            flags += [f"--minutes={arguments.minutes * share}", f"--threads={arguments.threads}"]
            flags += [f"--precision={arguments.precision}", *pretrained(arguments.pretrained)]
            common.run([sys.executable, "-m", f"{PACKAGE}.train", *flags])

    with concurrent.futures.ThreadPoolExecutor(len(plans)) as pool:
        for future in [pool.submit(train, plan) for plan in plans]:
            future.result()


def pretrained(name: str) -> Sequence[str]:
    """Return the flag of the weights to start from."""
    return [f"--pretrained={name}"] if name else []


if __name__ == "__main__":
    main()
