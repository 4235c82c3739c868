"""Send bad NIfTI files of every kind through kits-predict.

Each round writes one file of each kind beside a good CT and segments the folder. It must end with exit code 0 or 1
within the bounds of time and memory, print no traceback, and either segment a file or name it in one line.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
from typing import Any

import nibabel
import numpy as np

from experiments import common
from experiments.fuzz.kinds import KINDS, good_image
from kits_tf.io.volume import read_labels


def main() -> None:
    """Run the rounds; exit with 1 at the first that fails."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3, help="each with another seed")
    parser.add_argument("--seconds", type=float, default=600.0, help="bound on a round")
    parser.add_argument("--gigabytes", type=float, default=3.0, help="bound on the memory of a round")
    parser.add_argument("--kinds", nargs="+", default=sorted(KINDS), choices=sorted(KINDS), metavar="KIND")
    parser.add_argument("--checkpoint_dir", default="default")
    arguments = parser.parse_args()
    rounds = [one_round(seed, arguments) for seed in range(arguments.seed, arguments.seed + arguments.rounds)]
    common.write_result(arguments.output, {"kinds": arguments.kinds, "count": len(arguments.kinds), "rounds": rounds})


def one_round(seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the files, segment and check them; return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = pathlib.Path(folder) / "data", pathlib.Path(folder) / "out"
        data.mkdir()
        nibabel.save(good_image(), data / "good.nii.gz")
        rng = np.random.default_rng(seed)
        for name in arguments.kinds:
            KINDS[name](data / f"{name}.nii.gz", rng)
        flags = f"--input={data}", f"--output_dir={out}", f"--checkpoint_dir={arguments.checkpoint_dir}"
        run = common.command("predict", *flags, check=False, capture=True)
        lines = {name: reasons(run.output, name) for name in ("good", *arguments.kinds)}
        if problems := check(run, lines, out, arguments):
            sys.exit("\n".join([run.output[-3000:], *problems]))
    return {
        "seed": seed,
        "seconds": round(run.seconds, 1),
        "peak_gb": round(run.peak_mb / 1000, 2),
        "refused": sum(bool(found) for found in lines.values()),
        "segmented": sorted(name for name, found in lines.items() if not found and name != "good"),
    }


def reasons(output: str, name: str) -> list[str]:
    """Return the lines of the output that name a file as failed."""
    return [line for line in output.splitlines() if f"/{name}.nii.gz: " in line and ".nii.gz: warning:" not in line]


def check(run: common.Run, lines: dict[str, list[str]], out: pathlib.Path, bounds: argparse.Namespace) -> list[str]:
    """Return what is wrong about a round."""
    problems = [f"exit code {run.code}"] if run.code not in (0, 1) else []
    problems += ["a traceback"] if "Traceback" in run.output else []
    problems += ["too slow"] if run.seconds > bounds.seconds else []
    problems += ["memory beyond the bound"] if run.peak_mb > 1000 * bounds.gigabytes else []
    for name, found in lines.items():
        labels = out / f"{name}_segmentation.nii.gz"
        if len(found) + labels.is_file() != 1 or (name == "good" and found):
            problems.append(f"{name}: {len(found)} lines, labels written: {labels.is_file()}")
        if labels.is_file() and read_labels(labels)[0].max() > 2:
            problems.append(f"{name}: labels above 2")
        if labels.is_file() != labels.with_name(f"{name}_segmentation.json").is_file():
            problems.append(f"{name}: labels without sidecar or the reverse")
    return problems + [f"{path.name} is left" for path in out.glob(".*")]


if __name__ == "__main__":
    main()
