"""Names and colors of the labels for 3D Slicer and ITK-SNAP, in files beside a label map."""

from __future__ import annotations

import os
import pathlib

from kits_tf import files, palette

SLICER_SUFFIX, SNAP_SUFFIX = ".ctbl", "_labels.txt"
_LABELS = ((1, "kidney", palette.KIDNEY), (2, "tumor", palette.TUMOR))


def write(path: str | os.PathLike) -> None:
    """Write a color table for 3D Slicer and a label description for ITK-SNAP beside a label file.

    Args:
        path: The label file; the others have its name and end in `.ctbl` and `_labels.txt`.
    """
    path = pathlib.Path(path)
    stem = path.name.removesuffix(".nii.gz")
    files.write_text(path.with_name(stem + SLICER_SUFFIX), slicer_table())
    files.write_text(path.with_name(stem + SNAP_SUFFIX), snap_descriptions())


def slicer_table() -> str:
    """Return a color table of 3D Slicer: index, name, red, green, blue, opacity."""
    lines = ["# Color table of kits-tf for 3D Slicer", "0 background 0 0 0 0"]
    lines += [f"{label} {name} {_rgb(color)} 255" for label, name, color in _LABELS]
    return "\n".join(lines) + "\n"


def snap_descriptions() -> str:
    """Return a label description file of ITK-SNAP: index, red, green, blue, opacity, visible, in 3D, name."""
    lines = ["# Labels of kits-tf for ITK-SNAP", '0 0 0 0 0 0 0 "Clear Label"']
    lines += [f'{label} {_rgb(color)} 1 1 1 "{name}"' for label, name, color in _LABELS]
    return "\n".join(lines) + "\n"


def _rgb(color: str) -> str:
    """Return "#RRGGBB" as three decimal numbers."""
    return " ".join(map(str, bytes.fromhex(color[1:])))
