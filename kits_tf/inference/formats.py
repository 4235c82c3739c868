"""Further formats of the labels, written next to them on request."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Iterable

from kits_tf.errors import UsageError
from kits_tf.inference.outputs import SLICER_SUFFIX, SURFACE_SUFFIXES, Case, Writer, sibling


def writers(formats: Iterable[str]) -> dict[str, Writer]:
    """Return the writers of formats, by the suffix of the file that each one writes.

    Args:
        formats: Of `config.LABEL_FORMATS`: "seg.nrrd", a segmentation of 3D Slicer; "stl", the surfaces of kidney and
            tumor, one file each.

    Raises:
        UsageError: A library that a format needs is not installed.
    """
    found: dict[str, Writer] = {}
    for kind in dict.fromkeys(formats):
        if kind == "stl":
            found |= {suffix: _surface_writer(label, suffix) for label, suffix in SURFACE_SUFFIXES.items()}
        elif importlib.util.find_spec("slicerio") is None:
            raise UsageError("format", f"{kind} needs slicerio; install this package's extra `slicer`")
        else:
            found[SLICER_SUFFIX] = _write_slicer_segmentation
    return found


def _write_slicer_segmentation(path: pathlib.Path, case: Case) -> None:
    from kits_tf.io.seg_nrrd import write_segmentation

    write_segmentation(case.labels, case.volume.affine, sibling(path, SLICER_SUFFIX))


def _surface_writer(label: int, suffix: str) -> Writer:
    def write(path: pathlib.Path, case: Case) -> None:
        from kits_tf.io.surfaces import write_surface

        write_surface(case.labels == label, case.volume.affine, sibling(path, suffix))

    return write
