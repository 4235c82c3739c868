"""Time and memory of `kits-evaluate` and `kits-report` on one long case.

    python experiments/benchmarks/evaluation_speed.py --label=kits19/data/case_00151/segmentation.nii.gz

The prediction is the label itself, moved by some voxels, with a false tumor: what a network would find does not matter
to the time. The CT of the report is made of noise. Writes `experiments/results/evaluation_speed.json`.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.benchmarks.machine import MemoryWatch, machine  # noqa: E402
from experiments.documents import write_result  # noqa: E402
from kits_tf.io.volume import Volume, read_labels, write_labels, write_volume  # noqa: E402


def main():
    """Makes the prediction and the CT, scores and reports once each, and writes what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--label", type=pathlib.Path, required=True)
    parser.add_argument("--work_dir", type=pathlib.Path, default=ROOT / "build" / "evaluation")
    arguments = parser.parse_args()
    prediction, image = arguments.work_dir / "case_00000.nii.gz", arguments.work_dir / "ct" / "case_00000.nii.gz"
    shape = make(arguments.label, prediction, image)
    result = {"machine": machine(), "shape": shape}
    shared = [f"--predictions={prediction}", f"--references={arguments.label}"]
    result["evaluate"] = run("evaluate", *shared, f"--output={arguments.work_dir / 'scores.json'}")
    pages = arguments.work_dir / "pages"
    result["report"] = run("report", *shared, f"--images={image}", f"--output_dir={pages}")
    result["report"]["page_mb"] = round((pages / "case_00000.html").stat().st_size / 1e6, 2)
    print(json.dumps(result, indent=1))
    write_result("evaluation_speed", result)


def make(label_path, prediction_path, image_path):
    """Writes a prediction and a CT for a label file; returns its shape."""
    labels, grid = read_labels(label_path)
    moved = np.roll(labels, (1, 3, -2), axis=(0, 1, 2))
    inside = np.argwhere(moved == 1)
    middle = inside[len(inside) // 2]
    moved[tuple(slice(side - 5, side + 5) for side in middle)] = 2
    write_labels(moved, grid, prediction_path)
    noise = np.random.default_rng(0).normal(0, 30, labels.shape[1:])
    hu = np.empty(labels.shape, np.int16)
    for plane, label in zip(hu, labels, strict=True):
        plane[...] = np.roll(noise, int(label.sum()) % 97) + 40 + 120 * (label > 0)
    hu[:, :40] = hu[:, -40:] = hu[..., :40] = hu[..., -40:] = -1000
    write_volume(Volume(hu, grid.spacing_mm, grid.affine, grid.source), image_path)
    return list(labels.shape)


def run(name, *flags):
    """Runs a command once: seconds, those of its processors, and its peak memory.

    On a machine that does other work too, the processors' seconds are the ones to go by.
    """
    start, before = time.monotonic(), processor_seconds()
    process = subprocess.Popen([sys.executable, "-m", f"kits_tf.cli.{name}", *flags], cwd=ROOT)
    with MemoryWatch(process.pid) as memory:
        code = process.wait()
    if code:
        sys.exit(code)
    return {
        "seconds": round(time.monotonic() - start, 1),
        "processor_seconds": round(processor_seconds() - before, 1),
        "peak_memory_mb": round(memory.peak_mb),
    }


def processor_seconds():
    """What the commands run so far have used, in all their threads."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
