"""Compare bfloat16 with float32 in training: step rate, and validation Dice after the same number of steps."""

from __future__ import annotations

import argparse
import csv
import pathlib
import re
import statistics
import tempfile

from experiments import common

PRECISIONS = ("float32", "mixed_bfloat16")


def main() -> None:
    """Train with each precision."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--data_dir", required=True, help="a prepared folder with validation cases")
    parser.add_argument("--num_steps", type=int, default=1500)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="options of the config")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one, other = (train(arguments, precision, pathlib.Path(folder) / precision) for precision in PRECISIONS)
    flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    result = {
        "features": [name for name in ("avx512_bf16", "amx_bf16") if name in flags],
        "num_steps": arguments.num_steps,
        "float32": one,
        "mixed_bfloat16": other,
        "rate_ratio": round(other["steps_a_second"] / one["steps_a_second"], 3),
        "dice_difference": round(other["kidney_dice"] - one["kidney_dice"], 4),
    }
    common.write_result(arguments.output, result)


def train(arguments: argparse.Namespace, precision: str, folder: pathlib.Path) -> dict[str, float]:
    """Train the axial network of the small preset; return step rate and Dice."""
    flags = [f"--data_dir={arguments.data_dir}", f"--checkpoint_dir={folder}", "--preset=small", "--seed=1"]
    flags += [f"--num_steps={arguments.num_steps}", f"--set=validate_every={arguments.num_steps}"]
    flags += [f"--set={assignment}" for assignment in arguments.set]
    network = "--stage=kidney", "--plane=axial", f"--precision={precision}"
    output = common.command("train", *network, *flags, capture=True).output
    rates = [float(rate) for rate in re.findall(r"([\d.]+) steps/s", output)]
    with (folder / "kidney_axial" / "validation.csv").open(encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    return {
        "steps_a_second": round(statistics.median(rates[len(rates) // 2 :]), 3),
        "kidney_dice": float(row["kidney_dice"]),
    }


if __name__ == "__main__":
    main()
