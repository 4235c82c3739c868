"""Prepared cases on a kidney network's working grid, made once and kept beside the prepared data.

Resizing a whole CT takes far longer than cutting slabs from it, so networks that work on coarser pixels read records
of their own: the same format, but resized in the slice, with label 0/1 (kidney and tumor as one class).
"""

import dataclasses
import os
import pathlib
import typing

import numpy as np

from kits_tf import geometry
from kits_tf.arrays import NumPy as xp
from kits_tf.dataset import prepared

CHUNK_SLICES = 32


def working_records(records, config, report=print):
    """The records on the working grid of a KidneyConfig; those that are missing or outdated are written.

    Args:
        records: paths of prepared cases.
        config: `inplane_mm` and `body_box` matter here.
        report: called with a line when there is something to do.

    Returns:
        list of paths; `records` themselves where the config works on the native grid.
    """
    if not config.inplane_mm:
        return list(records)
    targets = [working_path(path, config) for path in records]
    waiting = [pair for pair in zip(records, targets, strict=True) if is_outdated(*pair)]
    if waiting:
        report(f"resizing {len(waiting)} cases to {config.inplane_mm:g} mm pixels, once")
    for source, target in waiting:
        prepared.write_record(resized(prepared.read_record(source), config), target)
    return targets


def working_path(path, config):
    """Where the working record of a prepared case lies."""
    path = pathlib.Path(path)
    part = "body" if config.body_box else "whole"
    return path.parent.parent / "working" / f"{config.inplane_mm:g}mm_{part}" / path.name


def is_outdated(source, target):
    """Whether a working record is missing, or older than the record it was made from."""
    return not target.is_file() or os.path.getmtime(target) < os.path.getmtime(source)


def resized(record, config):
    """A Record resized in the slice as prediction does; its box and shape are those of its own grid."""
    image, label = record.image, record.label > 0
    if not config.body_box:
        image = prepared.restore(image, record, prepared.AIR_HU)
        label = prepared.restore(label, record, False)
    rows, columns = (resized_axis(image.shape[axis], record.spacing_mm[axis], config.inplane_mm) for axis in (1, 2))
    shape = (image.shape[0], rows.size, columns.size)
    new_image, new_label = np.empty(shape, np.int16), np.empty(shape, np.uint8)
    for start in range(0, shape[0], CHUNK_SLICES):
        chunk = slice(start, start + CHUNK_SLICES)
        clipped = np.clip(image[chunk].astype(np.float32), geometry.HU_MIN, geometry.HU_MAX)
        new_image[chunk] = np.rint(geometry.resize_inplane(xp, clipped, rows.matrix, columns.matrix))
        new_label[chunk] = (
            geometry.resize_inplane(xp, label[chunk].astype(np.float32), rows.matrix, columns.matrix) >= 0.5
        )
    return dataclasses.replace(
        record,
        image=new_image,
        label=new_label,
        full_shape=shape,
        box=geometry.whole_box(shape),
        spacing_mm=(record.spacing_mm[0], rows.pixel_mm, columns.pixel_mm),
    )


class Axis(typing.NamedTuple):
    """How an in-plane axis is resized: to `size` pixels of `pixel_mm`, by a matrix [size, pixels before]."""

    size: int
    pixel_mm: float
    matrix: np.ndarray


def resized_axis(size, spacing_mm, working_mm):
    """The Axis that brings `size` pixels of `spacing_mm` to about `working_mm`."""
    target = int(geometry.working_size(xp, size, spacing_mm, working_mm))
    return Axis(target, spacing_mm * size / target, geometry.resizing(xp, size, target))
