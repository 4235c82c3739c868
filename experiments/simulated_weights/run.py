"""Train the weights `simulated`: simulate CTs, then train three kidney networks and the tumor network on them.

python -m experiments.simulated_weights.run

Options of kits-train may follow --, such as `-- --set=num_steps=100`. Every part resumes where an earlier run stopped.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
from collections.abc import Sequence
from concurrent import futures

from experiments import common
from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME, network_names
from kits_tf.config import PLANES

NUM_CASES = 480
SEED, TRAINING_SEED, HELD_OUT_SEED = 1, 3107, 9413
FINE = ("--size=256", "--pixel_spacing_mm=1.3,1.9")
COARSE = ("--size=160", "--pixel_spacing_mm=2.2,3.1")
HELD_OUT = (f"--seed={HELD_OUT_SEED}", "--size=208", "--pixel_spacing_mm=1.95,2.15", "--slice_spacing_mm=5.5,6.0")
"""Flags of kits-simulate for CTs that share no spacing and no seed with those of the training."""

TRAINING = ("--preset=small", f"--seed={SEED}", "--precision=mixed_bfloat16")
KIDNEY = ("--stage=kidney", *TRAINING, "--set=num_steps=8000")
# From random weights, at the preset's rate, 2000 steps ended in a network that finds no tumor anywhere.
TUMOR = ("--stage=tumor", *TRAINING, "--set=num_steps=900", "--pretrained=simulated", "--set=learning_rate=0.003",
         "--set=clip_norm=1")  # fmt: skip
TOGETHER = 2  # kidney networks in training at once: two on a core each are faster than one after the other on both


def main() -> None:
    """Run every part in turn and print its time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_cases", type=int, default=NUM_CASES, help="CTs to simulate, at least 5")
    parser.add_argument("--work_dir", type=pathlib.Path, default=common.BUILD / "simulated_weights")
    parser.add_argument("--output_dir", type=pathlib.Path, default=common.ROOT / "checkpoints" / "simulated")
    add_anatomy(parser)
    parser.add_argument("options", nargs="*", help="more flags for kits-train, after --")
    arguments = parser.parse_args()
    work = arguments.work_dir
    for part in parts(work, arguments.num_cases, anatomy_flags(arguments), arguments.options):
        with futures.ThreadPoolExecutor(TOGETHER) as pool:
            runs = list(pool.map(lambda line: common.command(*line, environment=threads(len(part))), part))  # noqa: B023
        print(f"{part[0][0]}: {max(run.seconds for run in runs) / 60:.1f} min", flush=True)
    for network in network_names():
        (arguments.output_dir / network).mkdir(parents=True, exist_ok=True)
        for name in (CONFIG_NAME, WEIGHTS_NAME):
            shutil.copyfile(work / "checkpoints" / network / name, arguments.output_dir / network / name)


def parts(
    work: pathlib.Path, num_cases: int, anatomy: Sequence[str] = (), options: Sequence[str] = ()
) -> list[list[tuple[str, ...]]]:
    """Return the commands of each part, (name, *flags); those of one part are independent of each other.

    Five of eight CTs have fine pixels and the others coarse ones, so that the working grid of 2 mm is reached from
    both sides. Of five cases, three are the kidney networks' and two, unseen by these, the tumor network's.
    """
    simulations, checkpoints, kidneys = work / "simulations", work / "checkpoints", work / "kidneys"
    fine = num_cases * 5 // 8
    simulate = ("simulate", f"--output_dir={simulations}", f"--seed={TRAINING_SEED}", "--slice_spacing_mm=2.0,5.0")
    cases = {
        stage: ",".join(str(number) for number in range(num_cases) if number % 5 in remainders)
        for stage, remainders in (("kidney", (0, 1, 2)), ("tumor", (3, 4)))
    }
    prepare: tuple[str, ...] = ("prepare", f"--input={simulations}", "--num_validation=0", "--num_test=0")
    train = ("train", f"--checkpoint_dir={checkpoints}")
    return [
        [(*simulate, *anatomy, *FINE, f"--cases=0-{fine - 1}")],
        [(*simulate, *anatomy, *COARSE, f"--cases={fine}-{num_cases - 1}")],
        *[[(*prepare, f"--output_dir={work / stage}", f"--cases={found}")] for stage, found in cases.items()],
        [(*train, *KIDNEY, f"--data_dir={work / 'kidney'}", f"--plane={plane}", *options) for plane in PLANES],
        [("predict", "--stage=kidney", f"--input={work / 'tumor'}", f"--output_dir={kidneys}",
          f"--checkpoint_dir={checkpoints}")],
        [(*train, *TUMOR, f"--data_dir={work / 'tumor'}", f"--kidney_masks={kidneys}", *options)],
    ]  # fmt: skip


def threads(commands: int) -> dict[str, str]:
    """Return the environment that shares the cores among the commands of a part."""
    cores = os.cpu_count() or 1
    return {"TF_NUM_INTRAOP_THREADS": str(max(1, cores // min(commands, TOGETHER)))}


def add_anatomy(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name organ maps to a parser."""
    for name in ("anatomy", "legend", "anatomy_ct"):
        parser.add_argument(f"--{name}", help="see kits-simulate; the bundled maps by default")


def anatomy_flags(arguments: argparse.Namespace) -> list[str]:
    """Return the flags of kits-simulate that name organ maps."""
    names = [name for name in ("anatomy", "legend", "anatomy_ct") if getattr(arguments, name)]
    return [f"--{name}={getattr(arguments, name)}" for name in names]


if __name__ == "__main__":
    main()
