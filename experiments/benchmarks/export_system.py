"""The exported system against kits-predict: same labels, time, peak memory; and the sizes of what is exported.

    python experiments/benchmarks/export_system.py --python=ENVIRONMENT/bin/python --slices=108 --repeats=2

Simulates a CT of `--slices` x 512 x 512, exports the weights, and segments it by turns with `kits-predict
--engine=tensorflow` and with the SavedModel in the interpreter named by `--python`, which needs TensorFlow and NumPy
alone. Writes `experiments/results/export_system_SLICES.json`.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402

from experiments.benchmarks.machine import machine  # noqa: E402
from experiments.commands import command  # noqa: E402
from experiments.documents import write_result  # noqa: E402
from kits_tf import checkpoint  # noqa: E402
from kits_tf.export.formats import NETWORKS, SYSTEM  # noqa: E402
from kits_tf.io.volume import read_labels, read_volume  # noqa: E402
from kits_tf.models import build  # noqa: E402

ALONE = pathlib.Path(__file__).with_name("serve_alone.py")


def main():
    """Runs both by turns and writes what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--slices", type=int, default=108)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--checkpoint_dir", default="simulated")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = compare(pathlib.Path(folder), arguments)
    print(json.dumps(result, indent=1))
    write_result(f"export_system_{arguments.slices}", result)


def compare(folder, arguments):
    """The figures, as a dict."""
    command("simulate", f"--output_dir={folder}/ct", "--cases=0", "--seed=5", "--size=512",
            f"--slices={arguments.slices}")  # fmt: skip
    command("export", f"--output_dir={folder}/models", f"--checkpoint_dir={arguments.checkpoint_dir}")
    volume = read_volume(folder / "ct" / "case_00000" / "imaging.nii.gz")
    np.savez(folder / "ct.npz", hu=volume.hu, spacing_mm=volume.spacing_mm)
    shape = volume.shape
    del volume
    runs = {"kits_predict": [], "system": []}
    for _ in range(arguments.repeats):
        runs["kits_predict"].append(predict(folder, arguments.checkpoint_dir))
        runs["system"].append(serve(folder, arguments.python))
    predicted, _ = read_labels(folder / "predicted" / "prediction_00000.nii.gz")
    served = np.load(folder / "labels.npy")
    fastest = {name: min(run["segment_seconds"] for run in found) for name, found in runs.items()}
    return {
        "shape": shape,
        "voxels_that_differ": int(np.count_nonzero(predicted != served)),
        "voxels_of_each_label": np.bincount(served.ravel(), minlength=3).tolist(),
        "system_over_kits_predict": round(fastest["system"] / fastest["kits_predict"], 2),
        "runs": runs,
        "megabytes": sizes(folder / "models", checkpoint.find(arguments.checkpoint_dir)),
        "machine": machine(),
    }


def sizes(models, weights):
    """{model: {"weights", "folder"}}: of the float32 weights and of all files, in units of a million bytes."""
    configs = checkpoint.load_configs(weights, NETWORKS)
    of_weights = {name: 4 * build(config).count_params() / 1e6 for name, config in configs.items()}
    of_weights[SYSTEM] = sum(of_weights.values())
    found = {}
    for name, megabytes in of_weights.items():
        files = [path for path in (models / name / "1").rglob("*") if path.is_file()]
        found[name] = {
            "weights": round(megabytes, 2),
            "folder": round(sum(path.stat().st_size for path in files) / 1e6, 2),
        }
    return found


def predict(folder, checkpoint_dir):
    """What kits-predict takes for both stages, without reading and writing."""
    out = folder / "predicted"
    command("predict", f"--input={folder}/ct", f"--output_dir={out}", f"--checkpoint_dir={checkpoint_dir}",
            "--engine=tensorflow", "--overwrite")  # fmt: skip
    summary = json.loads((out / "prediction_00000.json").read_text())
    seconds = summary["seconds"]["kidney"] + summary["seconds"]["tumor"]
    return {"segment_seconds": round(seconds, 2), "peak_memory_mb": round(summary["peak_memory_mb"])}


def serve(folder, python):
    """What the SavedModel takes in an interpreter of its own."""
    line = [python, str(ALONE), f"{folder}/models/system/1", f"{folder}/ct.npz", f"{folder}/labels.npy"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH", None)
    found = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment).stdout
    return json.loads(found.splitlines()[-1])


if __name__ == "__main__":
    main()
