"""bfloat16 against float32 in training: step rate, and the validation Dice after the same number of steps.

    python experiments/benchmarks/training_precision.py --data_dir=build/prepared --num_steps=600

Trains the axial network of the small preset twice with `kits-train`, once a precision, from one seed, and scores both
on the validation cases of the prepared folder at the end. The rate is the median over the steps of the second half,
from the progress lines. Writes `experiments/results/training_precision.json`.
"""

import argparse
import csv
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.benchmarks.machine import machine  # noqa: E402
from experiments.documents import write_result  # noqa: E402

PRECISIONS = ("float32", "mixed_bfloat16")


def main():
    """Trains with each precision and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--num_steps", type=int, default=600)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="options of the config")
    arguments = parser.parse_args()
    result = {"machine": machine() | {"features": processor_features()}, "num_steps": arguments.num_steps}
    with tempfile.TemporaryDirectory() as folder:
        for precision in PRECISIONS:
            result[precision] = train(arguments, precision, pathlib.Path(folder) / precision)
            print(precision, result[precision], flush=True)
    one, other = (result[precision] for precision in PRECISIONS)
    result["rate_ratio"] = round(other["steps_a_second"] / one["steps_a_second"], 3)
    result["dice_difference"] = round(other["kidney_dice"] - one["kidney_dice"], 4)
    write_result("training_precision", result)


def processor_features():
    """What the processor says of bfloat16."""
    flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return [name for name in ("avx512_bf16", "amx_bf16") if name in flags]


def train(arguments, precision, folder):
    """Trains once; {"steps_a_second", "kidney_dice"}."""
    flags = [f"--data_dir={arguments.data_dir}", f"--checkpoint_dir={folder}", "--preset=small", "--seed=1"]
    flags += [f"--num_steps={arguments.num_steps}", f"--set=validate_every={arguments.num_steps}"]
    flags += [f"--set={assignment}" for assignment in arguments.set]
    line = [sys.executable, "-m", "kits_tf.cli.train", "--stage=kidney", "--plane=axial", f"--precision={precision}"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}  # no terminal: progress comes in lines
    output = subprocess.run([*line, *flags], check=True, text=True, cwd=ROOT, **streams).stdout
    rates = [float(rate) for rate in re.findall(r"([\d.]+) steps/s", output)]
    with open(folder / "kidney_axial" / "validation.csv", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    return {
        "steps_a_second": round(statistics.median(rates[len(rates) // 2 :]), 3),
        "kidney_dice": float(row["kidney_dice"]),
    }


if __name__ == "__main__":
    main()
