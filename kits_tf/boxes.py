"""Boxes in a volume: a tuple of one slice per axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Box: TypeAlias = tuple[slice, ...]


def bounding_box(mask: np.ndarray) -> Box | None:
    """Return the bounding box of a 3D mask, or None for an empty mask."""
    indices = [np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    return tuple(slice(int(found[0]), int(found[-1]) + 1) for found in indices) if len(indices[0]) else None


def enlarged(box: Box, margins: Sequence[int], shape: Sequence[int]) -> Box:
    """Return a box enlarged by a margin at both ends of each axis, but not beyond the volume.

    Example:
        >>> enlarged((slice(2, 4), slice(2, 4)), (1, 5), (9, 8))
        (slice(1, 5, None), slice(0, 8, None))
    """
    return tuple(
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, margin, size in zip(box, margins, shape, strict=True)
    )


def box_within(outer: Box, inner: Box) -> Box:
    """Return a box that is relative to an outer box as a box of the whole array."""
    return tuple(slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True))
