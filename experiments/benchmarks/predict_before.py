"""Prediction against the straightforward path, an older checkout with TensorFlow in float32: time, and labels.

    git worktree add ../before af92d0b
    python experiments/benchmarks/predict_before.py --before=../before --repeats=2

By turns, random weights of preset `best`, 108x512x512, two kidneys given to stage 2; then both with trained weights on
that CT, whose labels are compared, those of now also in float32. Writes `experiments/results/predict_before.json`.
Hardware meant: two cores, 8 GB, about 15 minutes.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402

from experiments.benchmarks.machine import machine  # noqa: E402
from experiments.benchmarks.predict_setup import random_checkpoint, segment_apart, simulated_ct  # noqa: E402
from experiments.documents import ROOT, write_result  # noqa: E402
from kits_tf.checkpoint import CONFIG_NAME  # noqa: E402
from kits_tf.io.volume import read_labels  # noqa: E402

LIST_OPTIONS = (
    "import dataclasses, json; from kits_tf import config; "
    "kinds = config.KidneyConfig, config.TumorConfig; "
    "print(json.dumps([field.name for kind in kinds for field in dataclasses.fields(kind)]))"
)


def main():
    """Runs both by turns and writes ratio and differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=pathlib.Path, required=True)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--slices", type=int, default=108)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--trained", default=str(ROOT / "checkpoints" / "simulated"))
    parser.add_argument("--work_dir", type=pathlib.Path, default=pathlib.Path("build/benchmarks"))
    arguments = parser.parse_args()
    case = simulated_ct(arguments.work_dir / "ct", arguments.slices).resolve()
    random = random_checkpoint(arguments.work_dir, arguments.width)
    options = options_of(arguments.before.resolve())  # both go without those that came later
    checkpoint, trained = (
        understood(source, arguments.work_dir / "understood" / name, options).resolve()
        for name, source in (("random", random), ("trained", arguments.trained))
    )
    roads = {
        "before": {"package": arguments.before.resolve(), "engine": "tensorflow"},
        "now": {"package": ROOT, "engine": "auto"},
    }
    out = (arguments.work_dir / "compared").resolve()
    runs = {name: [] for name in roads}
    for _ in range(arguments.repeats):
        for name, road in roads.items():
            runs[name].append(segment_apart(case, checkpoint, out / name, **road))
    fastest = {name: statistics.median(run["segment_seconds"] for run in found) for name, found in runs.items()}
    compared = roads | {"now_float32": roads["now"] | {"precision": "float32"}}
    for name, road in compared.items():
        segment_apart(case, trained, out / f"{name}_trained", injected=0, **road)
    labels = {name: out / f"{name}_trained" / "prediction_00000.nii.gz" for name in compared}
    result = {
        "times_faster": round(fastest["before"] / fastest["now"], 2),
        "trained": {name: differences(labels["before"], labels[name]) for name in ("now", "now_float32")},
        "runs": runs,
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))
    write_result("predict_before", result)


def understood(checkpoint, target, options):
    """A copy of a checkpoint folder with no other options in its configs; returns the copy."""
    shutil.copytree(checkpoint, target, dirs_exist_ok=True)
    for path in target.glob(f"*/{CONFIG_NAME}"):
        config = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({key: config[key] for key in config if key in options}), encoding="utf-8")
    return target


def options_of(package):
    """The names of what a checkout's configs hold; options that came later keep their defaults."""
    line = [sys.executable, "-c", LIST_OPTIONS]
    environment = os.environ | {"PYTHONPATH": str(package)}
    return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, cwd=package, env=environment).stdout)


def differences(first, second):
    """How many voxels two label files tell apart, in all and as a share of the foreground of either."""
    one, other = read_labels(first)[0], read_labels(second)[0]
    differ = int(np.count_nonzero(one != other))
    foreground = int(np.count_nonzero((one > 0) | (other > 0)))
    return {"voxels": differ, "foreground": foreground, "percent": round(100 * differ / max(1, foreground), 4)}


if __name__ == "__main__":
    main()
