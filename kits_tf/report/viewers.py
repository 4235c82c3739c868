"""Names and colors of the labels, in the files that 3D Slicer and ITK-SNAP read beside a label map."""

import pathlib

from kits_tf import files, palette

LABELS = ((1, "kidney", palette.KIDNEY), (2, "tumor", palette.TUMOR))

SLICER_SUFFIX = ".ctbl"
SNAP_SUFFIX = "_labels.txt"


def write(path):
    """Writes a color table for 3D Slicer and a label description for ITK-SNAP beside a label file.

    Args:
        path: the label file, ending in `.nii.gz`; the others are named as it, ending in `.ctbl` and `_labels.txt`.
    """
    path = pathlib.Path(path)
    stem = path.name.removesuffix(".nii.gz")
    files.write_text(path.with_name(stem + SLICER_SUFFIX), slicer_table())
    files.write_text(path.with_name(stem + SNAP_SUFFIX), snap_descriptions())


def slicer_table():
    """A color table of 3D Slicer: index, name, red, green, blue, opacity."""
    lines = ["# Color table of kits-tf for 3D Slicer", "0 background 0 0 0 0"]
    lines += [f"{label} {name} {_spaced(color)} 255" for label, name, color in LABELS]
    return "\n".join(lines) + "\n"


def snap_descriptions():
    """A label description file of ITK-SNAP: index, red, green, blue, opacity, visible, in 3D, name."""
    lines = ["# Labels of kits-tf for ITK-SNAP", '0 0 0 0 0 0 0 "Clear Label"']
    lines += [f'{label} {_spaced(color)} 1 1 1 "{name}"' for label, name, color in LABELS]
    return "\n".join(lines) + "\n"


def _spaced(color):
    return " ".join(str(int(color[start : start + 2], 16)) for start in (1, 3, 5))
