"""Prepared cases on a kidney network's working grid, made once and kept beside the prepared data.

Resizing a whole CT takes far longer than cutting slabs from it, so networks that work on coarser pixels read records
of their own: the same format, but resized, with label 0/1 (kidney and tumor as one class).
"""

import dataclasses

import numpy as np

from kits_tf import geometry
from kits_tf.data import prepared
from kits_tf.data.places import place


def working_records(records, config, report=print):
    """The records on the working grid of a KidneyConfig; those that are missing or outdated are written.

    Args:
        records: paths of prepared cases.
        config: `inplane_mm`, `slice_mm` and `body_box` matter here.
        report: called with a line when there is something to do.

    Returns:
        list of paths; `records` themselves where the config works on the native grid.
    """
    if geometry.is_native(config):
        return list(records)
    targets = [working_path(path, config) for path in records]
    waiting = [pair for pair in zip(records, targets, strict=True) if is_outdated(*pair)]
    if waiting:
        report(f"resizing {len(waiting)} cases to {describe(config)}, once")
    for source, target in waiting:
        prepared.write_record(resized(prepared.read_record(source), config), target)
    return targets


def working_path(path, config):
    """Where the working record of a prepared case lies."""
    path = place(path)
    part = "body" if config.body_box else "whole"
    grid = f"{config.slice_mm:g}x{config.inplane_mm:g}mm"
    return path.parent.parent / "working" / f"{grid}_{part}" / path.name


def describe(config):
    """The working grid in words."""
    sizes = [f"{config.inplane_mm:g} mm pixels"] if config.inplane_mm else []
    sizes += [f"{config.slice_mm:g} mm slices"] if config.slice_mm else []
    return " and ".join(sizes)


def is_outdated(source, target):
    """Whether a working record is missing, or older than the record it was made from."""
    return not target.is_file() or target.stat().st_mtime_ns < place(source).stat().st_mtime_ns


def resized(record, config):
    """A Record resized as prediction does; its box and shape are those of its own grid."""
    image, label = record.image, record.label > 0
    if not config.body_box:
        image = prepared.restore(image, record, prepared.AIR_HU)
        label = prepared.restore(label, record, False)
    shape = geometry.working_shape(image.shape, record.spacing_mm, config)
    new_image, new_label = np.empty(shape, np.int16), np.empty(shape, np.uint8)
    for chunk, values in geometry.resized_chunks(image, shape, geometry.clipped):
        new_image[chunk] = np.rint(values)
    for chunk, values in geometry.resized_chunks(label, shape):
        new_label[chunk] = values >= 0.5
    return dataclasses.replace(
        record,
        image=new_image,
        label=new_label,
        full_shape=shape,
        box=geometry.whole_box(shape),
        spacing_mm=tuple(
            mm * before / after for mm, before, after in zip(record.spacing_mm, image.shape, shape, strict=True)
        ),
    )
