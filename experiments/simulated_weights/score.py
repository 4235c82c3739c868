"""Score weights on held-out simulations and, if there is one, on a real CT with an organ map; draw where they fail.

python -m experiments.simulated_weights.score --image=imaging.nii.gz --organs=organs.nii.gz --kidneys=2,3
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
from typing import Any

import numpy as np
from scipy import ndimage

from experiments import common, pictures
from experiments.simulated_weights.run import HELD_OUT, add_anatomy, anatomy_flags
from kits_tf.config import PLANES
from kits_tf.data import kits19
from kits_tf.evaluation.metrics import dice
from kits_tf.io.volume import read_labels, read_volume

SCORES = ("kidney_dice", "tumor_dice")
NEAR_MM = 6.0  # findings beyond are false; nearer ones may be a surface that is drawn wider


def main() -> None:
    """Score and write the result."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--checkpoint_dir", default="simulated")
    parser.add_argument("--num_cases", type=int, default=10, help="held-out simulations")
    parser.add_argument("--image", type=pathlib.Path, help="a real CT as NIfTI")
    parser.add_argument("--organs", help="its organ labels on the same grid")
    parser.add_argument("--kidneys", default="2,3", help="the labels of kidneys")
    parser.add_argument("--picture", type=pathlib.Path, help="PNG of the failures")
    parser.add_argument("--work_dir", type=pathlib.Path, default=common.BUILD / "held_out")
    add_anatomy(parser)
    arguments = parser.parse_args()
    simulations, predictions = arguments.work_dir / "simulations", arguments.work_dir / "predictions"
    scores = held_out(simulations, predictions, arguments)
    result: dict[str, Any] = {"weights": pathlib.Path(arguments.checkpoint_dir).name, "held_out": scores}
    rows = []
    if arguments.image:
        kidney = np.isin(np.rint(read_volume(arguments.organs).hu), [int(k) for k in arguments.kidneys.split(",")])
        labels, sidecar = predict(arguments.image, arguments.work_dir / "real", arguments.checkpoint_dir)
        result["real_ct"] = real_ct(kidney, labels, sidecar)
        rows.append(planes("real CT", arguments.image, kidney.astype(np.uint8), labels))
    for key in SCORES:
        name = min(scores["cases"], key=lambda case: scores["cases"][case][key])  # noqa: B023
        labels, _ = read_labels(simulations / name / kits19.LABEL_NAME)
        found, _ = read_labels(predictions / kits19.prediction_name(name))
        title = f"simulation, {key} {scores['cases'][name][key]:.2f}"
        rows.append(planes(title, simulations / name / kits19.IMAGE_NAME, labels, found))
    if arguments.picture:
        pictures.draw_sheet(rows, arguments.picture)
    common.write_result(arguments.output, result)


def held_out(simulations: pathlib.Path, predictions: pathlib.Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the scores on the held-out simulations, which are made if they are missing."""
    flags = f"--output_dir={simulations}", f"--num_cases={arguments.num_cases}", *anatomy_flags(arguments)
    common.command("simulate", *HELD_OUT, *flags)
    shutil.rmtree(predictions, ignore_errors=True)
    folders = f"--input={simulations}", f"--output_dir={predictions}"
    common.command("predict", *folders, f"--checkpoint_dir={arguments.checkpoint_dir}")
    output = predictions / "scores.json"
    common.command("evaluate", f"--predictions={predictions}", f"--references={simulations}", f"--output={output}")
    scores = json.loads(output.read_text())
    return {
        "mean": {key: round(scores["mean"][key], 4) for key in SCORES},
        "cases": {name: {key: round(case[key], 4) for key in SCORES} for name, case in scores["cases"].items()},
    }


def predict(image: pathlib.Path, folder: pathlib.Path, checkpoint_dir: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Return (labels, sidecar) of a CT."""
    shutil.rmtree(folder, ignore_errors=True)
    common.command("predict", f"--input={image}", f"--output_dir={folder}", f"--checkpoint_dir={checkpoint_dir}")
    [path] = folder.glob("*.nii.gz")
    return read_labels(path)[0], json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())


def real_ct(kidney: np.ndarray, labels: np.ndarray, sidecar: dict[str, Any]) -> dict[str, Any]:
    """Return what was found in a real CT and how much of it is kidney."""
    voxel_ml = float(np.prod(sidecar["spacing_mm"])) / 1000
    distance = ndimage.distance_transform_edt(~kidney, sidecar["spacing_mm"])
    parts, _ = ndimage.label(labels == 2)
    volumes = np.sort(np.bincount(parts.ravel())[1:] * voxel_ml)[::-1]
    return {
        "shape": sidecar["shape"],
        "spacing_mm": sidecar["spacing_mm"],
        "kidney_dice": round(dice(labels > 0, kidney), 4),
        "found_ml": {"kidney": sidecar["kidney_ml"], "tumor": sidecar["tumor_ml"]},
        "outside_kidneys_ml": round(np.count_nonzero((labels > 0) & (distance > NEAR_MM)) * voxel_ml, 2),
        "tumors_ml": [round(float(volume), 2) for volume in volumes if volume >= 0.1],
        "labelled_kidney_ml": round(np.count_nonzero(kidney) * voxel_ml, 1),
    }


def planes(title: str, image: pathlib.Path, labels: np.ndarray, found: np.ndarray) -> list[pictures.Plane]:
    """Return the slice of each plane in which labels and findings differ most, with both outlined."""
    ct = read_volume(image)
    drawn: list[pictures.Plane] = []
    for axis, plane in enumerate(PLANES):
        others = tuple(other for other in range(3) if other != axis)
        index = int(np.count_nonzero(labels != found, axis=others).argmax())
        hu, aspect = pictures.cut(ct.hu, axis, index, ct.spacing_mm)
        outlines = [
            (mask.take(index, axis) > threshold, color)
            for mask, threshold, color in (
                (labels, 0, pictures.LABEL),
                (labels, 1, pictures.LABEL),
                (found, 0, pictures.KIDNEY),
                (found, 1, pictures.TUMOR),
            )
        ]
        drawn.append((f"{title}: {plane}", hu, aspect, outlines))
    return drawn


if __name__ == "__main__":
    main()
