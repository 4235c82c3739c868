"""Compare the exported system with kits-predict --engine=tensorflow: labels, time, peak memory, size on disk."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from experiments import common
from experiments.benchmarks import synthetic
from kits_tf.data.kits19 import IMAGE_NAME
from kits_tf.io.volume import read_labels, read_volume

SCRIPT = common.ROOT / "experiments" / "benchmarks" / "serve_alone.py"


def main() -> None:
    """Run both alternately."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--python", default=sys.executable, help="interpreter of an environment with TensorFlow alone")
    parser.add_argument("--slices", type=int, default=108)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--checkpoint_dir", default="default")
    arguments = parser.parse_args()
    cases = synthetic.simulated_ct(arguments.slices, arguments.size)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        common.command("export", f"--output_dir={folder / 'models'}", f"--checkpoint_dir={arguments.checkpoint_dir}")
        ct = read_volume(cases / synthetic.CASE / IMAGE_NAME)
        np.savez(folder / "ct.npz", hu=ct.hu, spacing_mm=ct.spacing_mm)
        runs: dict[str, list[dict[str, Any]]] = {"kits_predict": [], "system": []}
        for _ in range(arguments.repeats):
            runs["kits_predict"].append(predict(cases, folder / "predicted", arguments.checkpoint_dir))
            runs["system"].append(serve(folder, arguments.python))
        [path] = (folder / "predicted").glob("*.nii.gz")
        predicted, served = read_labels(path)[0], np.load(folder / "labels.npy")
        models = {path.name: size_mb(path) for path in sorted((folder / "models").iterdir()) if path.is_dir()}
    fastest = {name: min(run["segment_seconds"] for run in found) for name, found in runs.items()}
    result = {
        "shape": ct.shape,
        "voxels_that_differ": int(np.count_nonzero(predicted != served)),
        "voxels_of_each_label": np.bincount(served.ravel(), minlength=3).tolist(),
        "system_over_kits_predict": round(fastest["system"] / fastest["kits_predict"], 2),
        "runs": runs,
        "megabytes": models,
    }
    common.write_result(arguments.output, result)


def size_mb(folder: pathlib.Path) -> float:
    """Return the size of a folder's files."""
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 2)


def predict(cases: pathlib.Path, out: pathlib.Path, checkpoint_dir: str) -> dict[str, float]:
    """Return the seconds of both stages of kits-predict, without reading and writing, and its peak memory."""
    flags = f"--checkpoint_dir={checkpoint_dir}", "--engine=tensorflow", "--overwrite"
    common.command("predict", f"--input={cases}", f"--output_dir={out}", *flags)
    [path] = out.glob("*.json")
    sidecar = json.loads(path.read_text())
    seconds = sidecar["seconds"]["kidney"] + sidecar["seconds"]["tumor"]
    return {"segment_seconds": round(seconds, 2), "peak_memory_mb": round(sidecar["peak_memory_mb"])}


def serve(folder: pathlib.Path, python: str) -> dict[str, Any]:
    """Return time and memory of the SavedModel in another interpreter, which must not see this checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    line = [python, str(SCRIPT), str(folder / "models" / "system" / "1"), "ct.npz", "labels.npy"]
    output = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment).stdout
    return json.loads(output.splitlines()[-1])


if __name__ == "__main__":
    main()
