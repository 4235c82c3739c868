"""Run kits-predict on bad files of every kind, and kits-prepare on training cases whose labels do not match.

Each round writes one file or DICOM series of each kind and a good CT, and segments the folder. The command must exit
with 0 or 1 within the bounds on time and memory, print no traceback, and either segment a file or report it in one
line. Kinds whose labels would be wrong must be refused, or segmented with a warning, for the right reason.
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
from experiments.fuzz import person
from experiments.fuzz.kinds import KINDS, MESSAGES, good_image
from experiments.fuzz.series import SERIES
from kits_tf.io.volume import Volume, read_labels, write_volume

ALL = sorted([*KINDS, *SERIES, *person.CASES])


def main() -> None:
    """Run the rounds; exit with 1 at the first that fails."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3, help="each with another seed")
    parser.add_argument("--seconds", type=float, default=600.0, help="bound on a round")
    parser.add_argument("--gigabytes", type=float, default=3.5, help="bound on the memory of a round")
    parser.add_argument("--kinds", nargs="+", default=ALL, choices=ALL, metavar="KIND")
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
        kinds = [name for name in arguments.kinds if name not in person.CASES]
        for name in kinds:
            if name in SERIES:
                SERIES[name][0](data / name)
            else:
                KINDS[name](data / f"{name}.nii.gz", rng)
        flags = f"--input={data}", f"--output_dir={out}", f"--checkpoint_dir={arguments.checkpoint_dir}"
        run = common.command("predict", *flags, check=False, capture=True)
        lines = {name: reasons(run.output, name) for name in ("good", *kinds)}
        problems = check(run, lines, out, arguments)
        cases = [name for name in arguments.kinds if name in person.CASES]
        problems += check_cases(pathlib.Path(folder) / "raw", cases) if cases else []
        if problems:
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
    return [line for line in lines_about(output, name) if ": warning:" not in line]


def lines_about(output: str, name: str) -> list[str]:
    """Return the lines of the output that name a file or a series."""
    return [line for line in output.splitlines() if f"/{name}.nii.gz: " in line or f"/{name}: " in line]


def check(run: common.Run, lines: dict[str, list[str]], out: pathlib.Path, bounds: argparse.Namespace) -> list[str]:
    """Return the problems of a round."""
    problems = [f"exit code {run.code}"] if run.code not in (0, 1) else []
    problems += ["a traceback"] if "Traceback" in run.output else []
    problems += ["too slow"] if run.seconds > bounds.seconds else []
    problems += ["memory beyond the bound"] if run.peak_mb > 1000 * bounds.gigabytes else []
    messages = MESSAGES | {name: text for name, (_, text) in SERIES.items()}
    for name, found in lines.items():
        if not any(messages.get(name, "") in line for line in [*lines_about(run.output, name), ""]):
            problems.append(f"{name}: nothing about {messages[name]}")
        labels = out / f"{name}_segmentation.nii.gz"
        if len(found) + labels.is_file() != 1 or (name == "good" and found):
            problems.append(f"{name}: {len(found)} lines, labels written: {labels.is_file()}")
        if labels.is_file() and read_labels(labels)[0].max() > 2:
            problems.append(f"{name}: labels above 2")
        if labels.is_file() != labels.with_name(f"{name}_segmentation.json").is_file():
            problems.append(f"{name}: labels without sidecar or the reverse")
    return problems + [f"{path.name} is left over" for path in out.glob(".*")]


def check_cases(raw: pathlib.Path, names: list[str]) -> list[str]:
    """Write training cases, prepare them, and return the problems."""
    hu, labels = person.ct()
    for number, name in enumerate(names):
        case, folder = person.CASES[name], raw / f"case_{number:05d}"
        # Duplicates are refused, so images and labels must differ.
        noise = np.random.default_rng(number).integers(-5, 6, hu.shape, np.int16)
        write_volume(Volume(hu + noise, case.spacing_mm), folder / "imaging.nii.gz")
        changed = np.array(case.change(labels))
        changed.flat[np.flatnonzero(changed)[number]] = 0
        write_volume(Volume(changed, case.spacing_mm), folder / "segmentation.nii.gz")
    flags = f"--input={raw}", f"--output_dir={raw}_prepared", "--num_validation=0", "--num_test=0", "--workers=1"
    run = common.command("prepare", *flags, check=False, capture=True)
    problems = [f"kits-prepare: exit code {run.code}"] if run.code not in (0, 1) else []
    for number, name in enumerate(names):
        found = [line for line in run.output.splitlines() if f"/case_{number:05d}/" in line]
        message = person.CASES[name].message
        if not (any(message in line for line in found) if message else not found):
            problems.append(f"{name}: {found}")
    return problems


if __name__ == "__main__":
    main()
