"""Simulate CTs from the bundled organ maps as samples for training, without end.

python -m experiments.default_weights.simulate --output_dir=DIR

Samples are written up to --num_samples; none is made twice.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np

import kits_tf
from experiments.default_weights import samples
from experiments.default_weights.samples import Case
from kits_tf import checkpoint, simulation
from kits_tf.simulation.fields import random_generator

SIZES = {144: 0.25, 176: 0.35, 208: 0.3, 256: 0.1}  # rows and columns, as the working grid needs no more
SLICE_SPACINGS_MM = {(1.8, 5.2): 0.88, (5.5, 10.0): 0.12}
SEED = 900_000


def main() -> None:
    """Write samples without end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--num_samples", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint_dir", default=checkpoint.DEFAULT, help="whose kidney networks find the kidneys")
    arguments = parser.parse_args()
    segmenter = kits_tf.load_segmenter(arguments.checkpoint_dir, stage="kidney")
    for number in range(arguments.num_samples):
        folder = arguments.output_dir / f"{arguments.seed}_{number:05d}"
        if not folder.exists():
            case = draw(arguments.seed, number, random_generator(SEED, arguments.seed, number))
            samples.write(case, folder, segmenter)


def draw(seed: int, number: int, rng: np.random.Generator) -> Case:
    """Return a simulated CT; none shares its seed with `kits-simulate --seed` below 900000."""
    size = int(rng.choice(list(SIZES), p=list(SIZES.values())))
    slice_spacing_mm = list(SLICE_SPACINGS_MM)[int(rng.uniform() > SLICE_SPACINGS_MM[(1.8, 5.2)])]
    hu, labels, spacing_mm = simulation.simulate(SEED + seed, number, size=size, slice_spacing_mm=slice_spacing_mm)
    return Case(hu, labels > 0, labels == 2, spacing_mm)


if __name__ == "__main__":
    main()
