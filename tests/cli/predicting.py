"""CTs on disk, stored in any orientation, and kits-predict run on them inside the test's process."""

import csv

import nibabel
import numpy as np

from kits_tf.cli import app, predict

SPACING_MM = (4.0, 3.0, 3.0)


def image_of(hu, codes="IPL"):
    """A NIfTI image of an (I, P, L) array, stored in another orientation."""
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, :3] = [[0, 0, -SPACING_MM[2]], [0, -SPACING_MM[1], 0], [-SPACING_MM[0], 0, 0]]
    affine[:3, 3] = (11.0, -7.0, 300.0)
    image = nibabel.Nifti1Image(hu, affine)
    here = nibabel.orientations.io_orientation(affine)
    return image.as_reoriented(nibabel.orientations.ornt_transform(here, nibabel.orientations.axcodes2ornt(codes)))


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)


def run(*arguments):
    return app.execute(predict.main, predict.FLAGS, ["kits-predict", *map(str, arguments)])


def read_csv(path):
    with open(path, newline="") as file:
        return {row["input"]: row for row in csv.DictReader(file)}


def labels_of(path):
    return np.asarray(nibabel.load(path).dataobj)


TABLES = {"summary.csv", "tumors.csv", "index.html"}  # of a run


def names_in(folder):
    """The names of files but for tables."""
    return sorted({path.name for path in folder.iterdir()} - TABLES)
