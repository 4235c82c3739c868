"""A picture of CTs simulated from an organ map beside the real CT of the same body, for docs/simulation.md.

    python experiments/simulation_gallery.py --anatomy=organs.nii.gz --legend=organs.json --anatomy_ct=imaging.nii.gz

One window for all, -160 to 240 HU; kidneys outlined in green, tumors in red. The first row is the real CT, the others
are one case each, in turn in every contrast phase. Two cores: about half a minute.
"""

import argparse
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

from contact_sheets import draw_sheet  # noqa: E402

from kits_tf.config import PHASES  # noqa: E402
from kits_tf.io import volume  # noqa: E402
from kits_tf.simulation import Anatomy, simulate  # noqa: E402
from kits_tf.simulation.structures import KIDNEYS, indices  # noqa: E402

SEED = 5


def main():
    """Writes the sheet."""
    arguments = parse()
    anatomy = Anatomy(arguments.anatomy, arguments.legend, arguments.anatomy_ct)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    cases = [real(anatomy), *(simulated(anatomy, SEED, i, phase) for i, phase in enumerate(PHASES))]
    draw_sheet(cases, arguments.output)


def real(anatomy):
    """(title, hu, labels, spacing in mm) of the map's own CT."""
    structures, spacing_mm = anatomy.check()
    hu = volume.read_volume(anatomy.ct).hu
    return "real", hu, np.isin(structures, indices(KIDNEYS)).astype(np.uint8), spacing_mm


def simulated(anatomy, seed, number, phase):
    """(title, hu, labels, spacing in mm) of one simulation."""
    scan = {"size": 256, "slices": 96, "pixel_spacing_mm": (1.4, 1.7), "slice_spacing_mm": (2.5, 3.5)}
    hu, labels, spacing_mm = simulate(seed, number, (anatomy,), phases=(phase,), **scan)
    return phase, hu, labels, spacing_mm


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anatomy", required=True)
    parser.add_argument("--legend", required=True)
    parser.add_argument("--anatomy_ct", required=True)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs" / "pictures" / "simulation.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
