"""Names and colors of the labels for 3D Slicer and ITK-SNAP, one file for each program."""

from __future__ import annotations

import os
import pathlib

from kits_tf import files, palette
from kits_tf.inference.outputs import SLICER_COLORS, SNAP_COLORS

_LABELS = ((1, "kidney", palette.KIDNEY), (2, "tumor", palette.TUMOR))


def write(folder: str | os.PathLike) -> None:
    """Write a color table for 3D Slicer and a label description for ITK-SNAP into a folder of label maps."""
    for name, text in ((SLICER_COLORS, slicer_table()), (SNAP_COLORS, snap_descriptions())):
        files.write_text(pathlib.Path(folder) / name, text)


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
