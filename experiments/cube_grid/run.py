"""Compare grids of stage 2: the best Dice that a cube of so many voxels allows, and what the network costs on it."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments import common
from kits_tf import boxes, checkpoint, config, kidney_crops, laterality
from kits_tf.arrays import NumPy
from kits_tf.evaluation.metrics import dice
from kits_tf.io.volume import read_labels

GRIDS = (32, 48, 64, 96, 160)
SIZES_ML = {"under 4 ml": (0, 4), "4 to 40 ml": (4, 40), "over 40 ml": (40, np.inf)}
REPEATS = 3


def main() -> None:
    """Measure all grids and write the table."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--labels", type=pathlib.Path, required=True, help="case_00000/segmentation.nii.gz and so on")
    arguments = parser.parse_args()
    paths = sorted(arguments.labels.glob("*/segmentation.nii.gz"))
    tumors = [tumor for path in paths for tumor in resampled(path)]
    if not tumors:
        parser.error(f"--labels: {arguments.labels} holds no case_00000/segmentation.nii.gz with a tumor")
    volumes = np.array([tumor["tumor_ml"] for tumor in tumors])
    network = checkpoint.load_network(checkpoint.DEFAULT, "tumor")
    rows = []
    for grid in GRIDS:
        dices = np.array([tumor[grid] for tumor in tumors])
        row = {"mean": dices.mean(), "lowest": dices.min()}
        row |= {name: dices[(volumes >= low) & (volumes < high)].mean() for name, (low, high) in SIZES_ML.items()}
        figures = {name: round(float(value), 3) for name, value in row.items()}
        rows.append({"grid": grid, **figures, "seconds": seconds(network, grid)})
    print("| " + " | ".join(rows[0]) + " |\n" + "| --- " * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")
    common.write_result(arguments.output, {"labels": len(paths), "tumors": len(tumors), "grids": rows})


def resampled(path: pathlib.Path) -> Iterator[dict[Any, float]]:
    """Yield, for each kidney with a tumor, the tumor's volume and its Dice after a cube of each grid and back."""
    options = config.preset("default", "tumor")
    assert isinstance(options, config.TumorConfig)
    labels, grid = read_labels(path)
    spacing_mm = grid.spacing_mm
    found = boxes.bounding_box(labels > 0)
    if found is None:
        return
    middle = labels.shape[2] / 2 - found[2].start
    labels = labels[found]
    sides = laterality.kidney_sides(labels > 0, spacing_mm, middle)
    for one in laterality.kidneys(sides):
        kidney, seen = laterality.with_context(sides, one, spacing_mm, options.context_mm)
        tumor = (labels[kidney.box] == 2) & seen
        if tumor.any():
            yield {"tumor_ml": float(np.count_nonzero(tumor) * np.prod(spacing_mm) / 1000)} | {
                size: dice(through(tumor, size, np.array(spacing_mm), options.margin_mm) & seen, tumor)
                for size in GRIDS
            }


def through(tumor: np.ndarray, grid: int, spacing_mm: np.ndarray, margin_mm: float) -> np.ndarray:
    """Return a mask after it was resampled to a cube and back, as by a network that is right in each voxel's share."""
    cube = kidney_crops.to_cube(NumPy, tumor.astype(np.float32), spacing_mm, margin_mm, grid)
    return kidney_crops.from_cube(NumPy, cube, tumor.shape, spacing_mm, margin_mm) > 0.5


def seconds(network: Any, grid: int) -> float:
    """Return the time that a tumor network takes for a cube, in TensorFlow."""
    cube = np.zeros((1, grid, grid, grid, 1), np.float32)
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        network.predict_on_batch(cube)
        times.append(time.perf_counter() - start)
    return round(min(times[1:]), 3)


if __name__ == "__main__":
    main()
