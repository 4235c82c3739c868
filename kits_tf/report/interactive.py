"""The data of a page's viewer: a CT around the kidneys in 8 bits and its labels, compressed, as text."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from typing import Any

import numpy as np

from kits_tf import palette
from kits_tf.geometry import resized
from kits_tf.report import figures

RANGE_HU = (-200.0, 400.0)
"""Range of the 8 bits, which contains every window."""
WINDOWS = {"soft tissue": (-160, 240), "kidney": (-50, 250), "narrow": (0, 150), "wide": (-200, 400)}
STEP_MM = 1.5
"""Smaller voxels are resized to this size; larger ones are kept."""
MAX_BYTES = 8 * 2**20
"""Upper limit of the compressed CT, kept by larger steps."""
_STEP_GROWTH = 1.2
_REFERENCE_FACTOR = 3  # labels are prediction + 3 x reference


def viewer_data(scene: figures.Scene, places: Sequence[Sequence[int]] = ()) -> dict[str, Any]:
    """Return what the viewer of a page needs.

    Args:
        scene: The CT and its labels.
        places: (slice, row, column) of places to jump to; the viewer begins at the first.

    Returns:
        {"ct", "labels": base64 of gzip of uint8, C order, "settings": JSON types}.
    """
    shown = zip(figures.shown_box(scene), scene.hu.shape, strict=True)
    box = tuple(slice(*part.indices(size)[:2]) for part, size in shown)
    count = [part.stop - part.start for part in box]
    step_mm, packed = STEP_MM, b""
    shape = tuple(count)
    while not packed or len(packed) > MAX_BYTES:
        shape = tuple(
            max(1, round(size * min(1.0, side / step_mm))) for size, side in zip(count, scene.spacing_mm, strict=True)
        )
        packed = gzip.compress(
            resized(scene.hu[box], shape, _to_levels).round().astype(np.uint8).tobytes(), 6, mtime=0
        )
        step_mm *= _STEP_GROWTH
    labels = _nearest(scene.prediction[box], shape)
    if scene.reference is not None:
        labels = labels + np.uint8(_REFERENCE_FACTOR) * _nearest(scene.reference[box], shape)
    start, grid = [part.start for part in box], scene.grid
    axes = range(3)
    center = places[0] if places else figures.largest_cross_sections(scene.labels > 0)
    settings = {
        "shape": shape,
        "voxelMm": [side * size / new for side, size, new in zip(scene.spacing_mm, count, shape, strict=True)],
        "edges": list(figures.EDGES.values()),
        "planes": list(figures.EDGES),
        "start": start,
        "count": count,
        "first": [grid.file_index(axis, 0) if grid else 0 for axis in axes],
        "direction": [grid.file_index(axis, 1) - grid.file_index(axis, 0) if grid else 1 for axis in axes],
        "instances": list(grid.instances) if grid else [],
        "rangeHu": RANGE_HU,
        "colors": [palette.KIDNEY, palette.TUMOR, palette.REFERENCE],
        "center": _to_view(center, start, count, shape),
        "targets": [_to_view(place, start, count, shape) for place in places],
    }
    return {"ct": _text(packed), "labels": _text(gzip.compress(labels.tobytes(), 9, mtime=0)), "settings": settings}


def _to_levels(hu: np.ndarray) -> np.ndarray:
    low, high = RANGE_HU
    return (np.clip(hu, low, high).astype(np.float32) - low) * np.float32(255 / (high - low))


def _nearest(labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return labels on a grid that covers the same space, each that of the voxel at its center."""
    indices = [((np.arange(new) + 0.5) * old / new).astype(int) for old, new in zip(labels.shape, shape, strict=True)]
    return labels[np.ix_(*indices)]


def _to_view(place: Sequence[int], start: Sequence[int], count: Sequence[int], shape: Sequence[int]) -> list[int]:
    """Return a (slice, row, column) of the CT as one of the viewer's grid."""
    inside = [min(max(index - first, 0), size - 1) for index, first, size in zip(place, start, count, strict=True)]
    return [int((index + 0.5) * new / size) for index, size, new in zip(inside, count, shape, strict=True)]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
