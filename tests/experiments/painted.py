"""A made-up CT with two round kidneys, for tests of the recipe of the default weights."""

from types import SimpleNamespace

import numpy as np
from scipy import ndimage

from experiments.default_weights.samples import Case
from kits_tf.laterality import kidney_sides

SPACING_MM = (3.0, 2.0, 2.0)
SHAPE = (36, 80, 112)
RADIUS_MM, CENTRES_MM = 26.0, ((54.0, 90.0, 60.0), (54.0, 90.0, 164.0))


def case(seed=0):
    """A body of 40 HU with kidneys of 150 HU, noise of 8 HU and air around."""
    rng = np.random.default_rng(seed)
    mm = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)), indexing="ij"), -1)
    kidney = np.zeros(SHAPE, bool)
    for centre in CENTRES_MM:
        kidney |= np.linalg.norm(mm - centre, axis=-1) < RADIUS_MM
    hu = np.where(kidney, 150.0, 40.0) + rng.normal(0, 8, SHAPE)
    hu[:, :4] = hu[:, -4:] = -1000.0
    return Case(np.rint(hu).astype(np.int16), kidney, np.zeros(SHAPE, bool), SPACING_MM)


def write(folder):
    """Write it as a folder of --real_ct."""
    from kits_tf.io.volume import Volume, write_labels, write_volume

    made = case()
    volume = Volume(made.hu, SPACING_MM)
    write_volume(volume, folder / "imaging.nii.gz")
    write_labels(made.kidney.astype(np.uint8), volume, folder / "kidney.nii.gz")


class Finder:
    """In place of a segmenter: finds what is bright, or the mask that it is given."""

    def run(self, hu, spacing_mm, mask=None):
        found = ndimage.binary_opening(hu > 95) if mask is None else mask
        return SimpleNamespace(sides=kidney_sides(found, spacing_mm, hu.shape[2] // 2))
