"""What callers give to a segmenter, checked before any work: one line names the argument and what it takes."""

import os

import numpy as np

from kits_tf import geometry
from kits_tf.errors import UsageError
from kits_tf.inference import choices
from kits_tf.inference.options import region_text


def checked_checkpoints(name_or_folder):
    """Names and folders as a list, of a single one too; raises a UsageError where one is neither or there is none."""
    found = listed([name_or_folder] if isinstance(name_or_folder, (str, bytes, os.PathLike)) else name_or_folder)
    if not found or not all(isinstance(one, (str, os.PathLike)) and one != "" for one in found):
        takes = "takes a checkpoint folder, the name of released weights or a list of these"
        raise UsageError("checkpoint_dir", f"{takes}, not {one_line(name_or_folder)}")
    return found


def checked_planes(planes):
    """The planes as a list, of text with commas too; raises a UsageError where one is none or is named twice."""
    found = [plane.strip() for plane in planes.split(",")] if isinstance(planes, str) else listed(planes)
    if not choices.are_planes(found):
        raise UsageError("planes", f"{choices.PLANES_TAKEN}, not {one_line(planes)}")
    return found


def check_choices(**values):
    """Raises a UsageError where `fusion`, `stage` or `tta` is none that there is."""
    for flag, value in values.items():
        known = {"fusion": choices.FUSION, "stage": choices.STAGES, "tta": choices.TTA}[flag]
        if value not in known:
            raise UsageError(flag, f"{one_line(value)} is not one of {', '.join(known)}")


def checked_ct(hu, spacing_mm):
    """The arguments as an array and three numbers; raises ValueError for what no CT can be, nor its file hold."""
    hu = np.asarray(hu)
    if hu.ndim != 3 or 0 in hu.shape or hu.dtype.kind not in "iuf":
        raise ValueError(f"hu is {hu.dtype} of shape {hu.shape}: takes numbers [slices, rows, columns]")
    if hu.dtype.kind == "f":
        for image in hu:
            check_finite(image)
    return hu, checked_spacing(spacing_mm)


def check_finite(values):
    """Raises ValueError where floats are not finite, or would not be as the float32 that networks take."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32, copy=False)
    if not np.isfinite(narrow).all():
        kind = "beyond float32" if np.isfinite(values).all() else "that are not finite"
        raise ValueError(f"hu holds values {kind}")


def checked_spacing(spacing_mm):
    """The spacing as three float32 numbers, what the exported system takes; raises ValueError for what no CT has."""
    low, high = geometry.SPACING_MM
    try:
        sides = np.asarray(spacing_mm, np.float64)
    except (TypeError, ValueError):
        sides = np.zeros(0)
    if sides.shape != (3,) or not all(low <= side <= high for side in sides):
        takes = f"takes three numbers (slice, row, column) from {low:g} to {high:g}"
        raise ValueError(f"spacing_mm is {one_line(spacing_mm)}: {takes}")
    return tuple(float(side) for side in sides.astype(np.float32))


def checked_mask(mask, shape):
    """The mask as a bool array, or None for none; raises ValueError where it is not that of a CT of that shape."""
    if mask is None:
        return None
    mask = np.asarray(mask, bool)
    if mask.shape != shape:
        raise ValueError(f"mask is of shape {mask.shape}, its CT of shape {shape}")
    return mask


def checked_roi(roi, shape):
    """The region of interest, None for all, with bounds from 0 to the shape.

    Raises:
        ValueError: it is not three slices without a step, or nothing lies in it.
    """
    parts = [slice(None)] * 3 if roi is None else listed(roi)
    if len(parts) != 3 or not all(is_plain_slice(part) for part in parts):
        takes = "takes slice objects (slices, rows, columns) of whole numbers without a step"
        raise ValueError(f"roi is {one_line(roi)}: {takes}")
    bounds = [slice(*part.indices(size)[:2]) for part, size in zip(parts, shape, strict=True)]
    if any(part.start >= part.stop for part in bounds):
        region = region_text(parts)
        raise ValueError(f"no voxel of a CT of shape {tuple(shape)} lies in the region of interest {region}")
    return bounds


def is_plain_slice(part):
    """Whether this is a `slice` of whole numbers, or open, without a step."""
    return (
        isinstance(part, slice)
        and part.step in (None, 1)
        and all(bound is None or hasattr(bound, "__index__") for bound in (part.start, part.stop))
    )


def listed(values):
    """An iterable as a list; empty for what is none."""
    try:
        return list(values)
    except TypeError:
        return []


def one_line(value):
    """What a value looks like in code, in one line."""
    return " ".join(repr(value).split())
