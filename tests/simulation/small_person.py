"""An organ map of a very small person, on disk: quick to refine, with everything that matters in it."""

import json

import nibabel
import numpy as np

LEGEND = {1: "liver", 2: "kidney_right", 3: "kidney_left", 4: "vertebrae_L1", 5: "aorta", 6: "colon", 7: "a_new_organ"}
SHAPE = (22, 26, 36)
MM = 3.0


def organs():
    """Labels uint8 [slices, rows, columns], axes (I, P, L), MM a voxel."""
    labels = np.zeros(SHAPE, np.uint8)
    z, y, x = np.indices(SHAPE)

    def ball(centre, radii, label):
        offsets = [(axis - c) / r for axis, c, r in zip((z, y, x), centre, radii, strict=True)]
        labels[sum(o * o for o in offsets) < 1] = label

    ball((4, 9, 9), (6, 6, 7), 1)
    ball((11, 15, 9), (6, 4, 4), 2)
    ball((11, 15, 26), (5, 3.5, 3.5), 3)
    labels[:, 16:21, 15:21] = 4
    ball((11, 13, 19), (40, 1.8, 1.8), 5)
    ball((14, 7, 24), (4, 4, 5), 6)
    labels[18:20, 8:12, 8:12] = 7
    return labels


def hu():
    """A CT that fits the labels: int16 of their shape; fat in the body, muscle at its back, air around."""
    labels = organs()
    result = np.full(SHAPE, -1000, np.int16)
    result[:, 3:24, 3:33] = -100
    result[:, 21:23, 5:31] = 50
    result[labels > 0] = 40
    return result


def write(folder, labels=None, legend=None, axes="RAS"):
    """Write map, legend and CT in an orientation; return their paths as str, {"map", "legend", "ct"}."""
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.array([[0, 0, -MM, 0], [0, -MM, 0, 0], [-MM, 0, 0, 0], [0, 0, 0, 1]])
    files = {"map": "organs.nii.gz", "legend": "organs.json", "ct": "imaging.nii.gz"}
    paths = {name: str(folder / file) for name, file in files.items()}
    for name, array in (("map", organs() if labels is None else labels), ("ct", hu())):
        image = nibabel.Nifti1Image(array, affine)
        there = nibabel.orientations.axcodes2ornt(axes)
        turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), there)
        nibabel.save(image.as_reoriented(turn), paths[name])
    with open(paths["legend"], "w", encoding="utf-8") as file:
        json.dump({str(k): {"name": v} for k, v in LEGEND.items()} if legend is None else legend, file)
    return paths
