"""Draw one simulated CT in each contrast phase and, if given, the real CT of the same body."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from experiments import common, pictures
from kits_tf.config import PHASES
from kits_tf.io.volume import read_volume
from kits_tf.simulation import Anatomy, bundled_anatomies, simulate
from kits_tf.simulation.structures import KIDNEYS, indices

SEED = 5
SCAN: dict[str, Any] = {"size": 256, "slices": 96, "pixel_spacing_mm": (1.4, 1.7), "slice_spacing_mm": (2.5, 3.5)}


def main() -> None:
    """Draw the sheet."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--anatomy", help="an organ label map; the bundled ones by default")
    parser.add_argument("--legend", help="its legend")
    parser.add_argument("--anatomy_ct", help="its CT, for the first row")
    parser.add_argument("--picture", type=pathlib.Path, default=common.ROOT / "docs" / "images" / "simulation.png")
    arguments = parser.parse_args()
    anatomies, rows = bundled_anatomies(), []
    if arguments.anatomy:
        anatomies = (Anatomy(arguments.anatomy, arguments.legend, arguments.anatomy_ct),)
    if arguments.anatomy_ct:
        structures, spacing_mm = anatomies[0].check()
        labels = np.isin(structures, indices(KIDNEYS)).astype(np.uint8)
        rows.append(views("real", read_volume(arguments.anatomy_ct).hu, labels, spacing_mm))
    for number, phase in enumerate(PHASES):
        rows.append(views(phase, *simulate(SEED, number, anatomies, phases=(phase,), **SCAN)))
    pictures.draw_sheet(rows, arguments.picture)
    common.write_result(arguments.output, {"seed": SEED, "scan": SCAN, "rows": [row[0][0] for row in rows]})


def views(title: str, hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, ...]) -> list[pictures.Plane]:
    """Return the widest axial slice of the kidneys and three planes through the tumor, or else a kidney."""
    middle = [int(np.median(part)) for part in np.nonzero(labels == labels.max())]
    planes = [("widest kidney", 0, int((labels > 0).sum(axis=(1, 2)).argmax()))]
    planes += zip(("axial", "coronal", "sagittal"), range(3), middle, strict=True)
    drawn: list[pictures.Plane] = []
    for name, axis, index in planes:
        mask, aspect = pictures.cut(labels, axis, index, spacing_mm)
        outlines = ((mask > 0, pictures.LABEL), (mask > 1, pictures.TUMOR))
        drawn.append((f"{title}: {name}", hu.take(index, axis), aspect, outlines))
    return drawn


if __name__ == "__main__":
    main()
