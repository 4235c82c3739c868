"""Where weights from simulated CTs go wrong: pictures of a real CT and of the worst held-out simulations.

    python experiments/failure_pictures.py --checkpoint_dir=simulated --output=docs/pictures/simulated_failures.png \
        --anatomy=organs.nii.gz --legend=organs.json --anatomy_ct=imaging.nii.gz \
        --image=imaging.nii.gz --organs=organs.nii.gz

One row a CT; in each plane the slice on which prediction and labels differ most. Labels are outlined in green, kidneys
found in yellow, tumors found in red. Window -160 to 240 HU. Needs the `report` extra (matplotlib). Hardware meant: two
CPU cores, a minute.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

import held_out_simulations  # noqa: E402
import real_ct  # noqa: E402
import simulation_suites  # noqa: E402
from contact_sheets import save_sheet, show  # noqa: E402

from kits_tf.data import kits19  # noqa: E402
from kits_tf.data.stage_inputs import mask_path  # noqa: E402
from kits_tf.io import volume  # noqa: E402

LABEL, KIDNEY, TUMOR = "#35d04f", "#ffd93b", "#ff4536"
PLANES = ("axial", "coronal", "sagittal")


def main():
    """Segments the real CT and the held-out suite, and writes the sheet."""
    arguments = parse()
    work = arguments.work_dir
    simulations = held_out_simulations.make(simulation_suites.anatomy_flags(arguments), work)
    scores = held_out_simulations.score(simulations, work, arguments.checkpoint_dir)["cases"]
    cases = [real(arguments)]
    for key in held_out_simulations.SCORES:
        name = min(scores, key=lambda case: scores[case][key])
        cases.append(simulated(simulations, work / "predictions", name, f"{key} {scores[name][key]:.2f}"))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    draw(cases, arguments.output)
    print(json.dumps({"picture": arguments.output.name, "cases": [case[0] for case in cases]}))


def real(arguments):
    """(title, hu, labels, found, spacing in mm) of the real CT."""
    ct = volume.read_volume(arguments.image)
    labels = real_ct.labelled(arguments.organs, arguments.kidneys).astype(np.uint8)
    return "real CT", ct.hu, labels, real_ct.segment(arguments.image, arguments.checkpoint_dir)[0], ct.spacing_mm


def simulated(simulations, predictions, name, score):
    """(title, hu, labels, found, spacing in mm) of one simulation."""
    ct = volume.read_volume(simulations / name / kits19.IMAGE_NAME)
    labels, _ = volume.read_labels(simulations / name / kits19.LABEL_NAME)
    found, _ = volume.read_labels(mask_path(predictions, name))
    return f"simulation, {score}", ct.hu, labels, found, ct.spacing_mm


def draw(cases, path):
    """One row a case, one column a plane, saved as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(len(cases), 3, figsize=(13.5, 4.2 * len(cases)), squeeze=False, facecolor="black")
    for row, (title, hu, labels, found, spacing_mm) in zip(rows, cases, strict=True):
        for axis, (axes, plane) in enumerate(zip(row, PLANES, strict=True)):
            index = worst_index(labels, found, axis)
            aspect = spacing_mm[0] / spacing_mm[2] if axis else 1.0
            cut = [np.take(part, index, axis=axis) for part in (hu, labels, found)]
            outlines = ((cut[1] > 0, LABEL), (cut[1] > 1, LABEL), (cut[2] > 0, KIDNEY), (cut[2] > 1, TUMOR))
            show(axes, cut[0], aspect, outlines, f"{title}: {plane}", linewidth=0.9, fontsize=9)
    save_sheet(figure, path, (LABEL, KIDNEY, TUMOR), dpi=70)


def worst_index(labels, found, axis):
    """The slice along an axis on which labels and prediction differ in most voxels."""
    others = tuple(other for other in range(3) if other != axis)
    return int(np.argmax(np.count_nonzero(labels != found, axis=others)))


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    simulation_suites.add_anatomy(parser)
    real_ct.add_ct(parser)
    parser.add_argument("--checkpoint_dir", default="simulated")
    parser.add_argument("--work_dir", type=pathlib.Path, default=ROOT / "build" / "held_out")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
