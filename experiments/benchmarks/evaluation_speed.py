"""Measure time and memory of kits-evaluate and kits-report on one long case.

The prediction is the reference, shifted by some voxels, with a false tumor; the CT is noise. Neither affects the time.
"""

from __future__ import annotations

import pathlib

import numpy as np

from experiments import common
from experiments.benchmarks import synthetic
from kits_tf.data.kits19 import LABEL_NAME
from kits_tf.io.volume import Volume, read_labels, write_labels, write_volume


def main() -> None:
    """Score and report once each."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--label", type=pathlib.Path, help="a label file; by default a simulated case")
    parser.add_argument("--slices", type=int, default=1059, help="of the simulated case")
    parser.add_argument("--size", type=int, default=512, help="of the simulated case")
    arguments = parser.parse_args()
    simulated = synthetic.simulated_ct(arguments.slices, arguments.size) / synthetic.CASE / LABEL_NAME
    label, folder = arguments.label or simulated, common.BUILD / "evaluation"
    prediction, image = folder / "case_00000.nii.gz", folder / "ct" / "case_00000.nii.gz"
    result: dict = {"shape": write_inputs(label, prediction, image)}
    shared = f"--predictions={prediction}", f"--references={label}"
    run = common.command("evaluate", *shared, f"--output={folder / 'scores.json'}")
    result["evaluate"] = run.figures()
    run = common.command("report", *shared, f"--images={image}", f"--output_dir={folder / 'pages'}")
    pages = max((folder / "pages").glob("*.html"), key=lambda path: path.stat().st_size)
    result["report"] = run.figures() | {"page_mb": round(pages.stat().st_size / 1e6, 2)}
    common.write_result(arguments.output, result)


def write_inputs(label: pathlib.Path, prediction: pathlib.Path, image: pathlib.Path) -> list[int]:
    """Write a prediction and a CT for a label file; return the shape."""
    labels, grid = read_labels(label)
    moved = np.roll(labels, (1, 3, -2), axis=(0, 1, 2))
    inside = np.argwhere(moved == 1)
    moved[tuple(slice(side - 5, side + 5) for side in inside[len(inside) // 2])] = 2
    write_labels(moved, grid, prediction)
    noise = np.random.default_rng(0).normal(0, 30, labels.shape[1:])
    hu = np.empty(labels.shape, np.int16)
    for number, plane in enumerate(hu):
        plane[...] = np.roll(noise, number % 97) + 40 + 120 * (labels[number] > 0)
    hu[:, :40] = hu[:, -40:] = hu[..., :40] = hu[..., -40:] = -1000
    write_volume(Volume(hu, grid.spacing_mm, grid.affine, grid.source), image)
    return list(labels.shape)


if __name__ == "__main__":
    main()
