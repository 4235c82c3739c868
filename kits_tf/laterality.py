"""Laterality: which connected components belong to the right and which to the left kidney."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage, sparse

from kits_tf.arrays import Array, ArrayModule, NumPy, Size
from kits_tf.boxes import Box, bounding_box, enlarged
from kits_tf.config import Config

CHUNK_VOXELS = 2**23  # of a mask that are labelled at a time, to bound memory
MIN_COMPONENT_ML = 2.0  # without a config
MAX_FROM_MIDDLE_MM = 110.0  # of a kidney's centroid: 38 to 100 in KiTS19, 49 to 98 in 13 other CTs
HORSESHOE_SHARE = 0.2  # a component with a larger share on both sides of the middle is cut there
RIGHT, LEFT = 1, 2
SIDE_NAMES = {RIGHT: "right", LEFT: "left"}


def kidney_sides(
    mask: np.ndarray,
    spacing_mm: tuple[float, ...],
    middle: float,
    min_ml: float = MIN_COMPONENT_ML,
    min_agreement: float = 0.0,
    agreed: np.ndarray | None = None,
) -> np.ndarray:
    """Assign the foreground to the patient's right and left kidney.

    Small components (6-neighbourhood) are dropped. The others belong to the side of their centroid, to the right if it
    is exactly in the middle. One with more than 20 % of its volume on both sides, a horseshoe kidney, is cut there.

    Each side then keeps its likeliest component: the one with the largest volume on which all planes agree. Another is
    kept if the planes agree on at least `min_agreement` of its volume. Agreement counts a tenth if the centroid is
    more than 110 mm from the middle, as in liver and spleen.

    Args:
        mask: [slices, rows, columns] bool, kidney and tumor as one class.
        spacing_mm: (slice, row, column).
        middle: first column of the left half.
        min_ml: drop components smaller than this.
        min_agreement: fraction of the volume, from 0, which keeps every component, to 1.
        agreed: bool of the mask's shape, where all planes find kidney; None for everywhere.

    Returns:
        uint8 array of the mask's shape: 0 background, 1 right (columns below the middle), 2 left.
    """
    sides = np.zeros(mask.shape, np.uint8)
    box = bounding_box(mask)
    if box is None:
        return sides
    inside, first = sides[box], box[2].start
    components = Components(mask[box])
    size, left, columns, sure = (np.zeros(components.count, np.int64) for _ in range(4))
    for chunk, voxels, component in components:
        column = voxels % inside.shape[2] + first
        size += np.bincount(component, minlength=components.count)
        left += np.bincount(component[column >= middle], minlength=components.count)
        columns += np.bincount(component, column, minlength=components.count).astype(np.int64)
        if agreed is not None:
            is_sure = agreed[box][chunk].ravel()[voxels]
            sure += np.bincount(component[is_sure], minlength=components.count)
    sure = size if agreed is None else sure
    rule = spacing_mm, middle, min_ml, min_agreement
    found = sides_of_components(NumPy, size, left, columns, sure, *rule).astype(np.uint8)
    for chunk, voxels, component in components:
        is_left = voxels % inside.shape[2] + first >= middle
        part = np.zeros(inside[chunk].shape, np.uint8)
        part.ravel()[voxels] = found[is_left.astype(np.uint8), component]
        inside[chunk] = part
    return sides


def sides_of_components(
    xp: ArrayModule, size: Array, left: Array, columns: Array, agreed: Array, spacing_mm: Array, middle: Size,
    min_ml: float, min_agreement: float,
) -> Array:  # fmt: skip
    """Return the sides of components by the rules of `kidney_sides`.

    Args:
        xp: the array module, see `arrays`.
        size: [n] voxels of each component; may be 0.
        left: [n] voxels in the left half.
        columns: [n] sum of the voxels' columns.
        agreed: [n] voxels on which all planes agree.
        spacing_mm: (slice, row, column).
        middle: first column of the left half.
        min_ml: smallest volume that is kept.
        min_agreement: smallest fraction on which planes agree that is kept.

    Returns:
        [2, n] integers: the side of a component's voxels right of the middle, and of those left of it; 0 drops them.
    """
    size = xp.maximum(xp.cast(size, xp.float64), 1.0)
    left_share = xp.cast(left, xp.float64) / size
    centroid = xp.cast(columns, xp.float64) / size + 0.5
    middle = xp.cast(middle, xp.float64)
    whole = xp.where(centroid <= middle, RIGHT, LEFT)
    is_horseshoe = (left_share > HORSESHOE_SHARE) & (left_share < 1 - HORSESHOE_SHARE)
    is_speck = size * (spacing_mm[0] * spacing_mm[1] * spacing_mm[2]) / 1000 < min_ml
    from_middle_mm = xp.maximum(centroid - middle, middle - centroid) * spacing_mm[2]
    agreement = xp.cast(agreed, xp.float64) / size
    agreement = xp.where(from_middle_mm > MAX_FROM_MIDDLE_MM, 0.1 * agreement, agreement)
    likely = size * xp.maximum(agreement, 0.001) * xp.cast(~is_speck, xp.float64)  # by size if planes agree nowhere
    most = [xp.max(likely * xp.cast(is_horseshoe | (whole == side), xp.float64)) for side in (RIGHT, LEFT)]
    is_likeliest = likely >= xp.where(is_horseshoe, xp.minimum(*most), xp.where(whole == RIGHT, *most))
    dropped = is_speck | ((agreement < min_agreement) & ~is_likeliest)
    return xp.stack([xp.where(dropped, 0, xp.where(is_horseshoe, half, whole)) for half in (RIGHT, LEFT)])


def config_of_sides(configs: Mapping[str, Config]) -> Config:
    """Return the config whose options decide on sides, of configs by network name in any order.

    It is that of the tumor network, whose training samples were cut by it, else one with a body box, if any has one.
    """
    return configs.get("tumor") or max(configs.values(), key=lambda config: config.body_box)


class Kidney(NamedTuple):
    """One kidney of a side map: its side (1 right, 2 left) and its bounding box."""

    side: int
    box: Box


def kidneys(sides: np.ndarray) -> list[Kidney]:
    """Return the kidneys of a side map, right before left; a side without voxels has none."""
    found = ndimage.find_objects(sides, max_label=2)
    return [Kidney(side, box) for side, box in zip((RIGHT, LEFT), found, strict=True) if box is not None]


def with_context(
    sides: np.ndarray, kidney: Kidney, spacing_mm: Sequence[float], context_mm: float
) -> tuple[Kidney, np.ndarray]:
    """Return a kidney and its surroundings: the part of a volume that stage 2 sees.

    Args:
        sides: uint8 [slices, rows, columns], a side map.
        kidney: one of its kidneys.
        spacing_mm: (slice, row, column).
        context_mm: how far along each axis, rounded to voxels.

    Returns:
        The kidney with the enlarged box, and a mask of what is seen in it, bool: the kidney's voxels and those around
        them, but not the other kidney's.
    """
    reach = context_voxels(NumPy, spacing_mm, context_mm)
    box = enlarged(kidney.box, reach, sides.shape)
    part = sides[box]
    seen = around(part == kidney.side, reach) & ((part == 0) | (part == kidney.side))
    return Kidney(kidney.side, box), seen


def around(mask: np.ndarray, reach: Sequence[int]) -> np.ndarray:
    """Return a mask, bool, dilated by `reach` voxels along each axis."""
    for axis, distance in enumerate(reach):
        grown = np.moveaxis(mask.copy(), axis, 0)
        along = np.moveaxis(mask, axis, 0)
        for step in range(1, distance + 1):
            grown[step:] |= along[:-step]
            grown[:-step] |= along[step:]
        mask = np.moveaxis(grown, 0, axis)
    return mask


def context_voxels(xp: ArrayModule, spacing_mm: Array, context_mm: float) -> list[Size]:
    """Return the number of voxels nearest to a length along each axis; `spacing_mm` is float64."""
    return [xp.cast(xp.round(context_mm / spacing_mm[axis]), xp.int32) for axis in range(3)]


class Components:
    """Connected components (6-neighbourhood) of a mask, found in chunks of slices to bound memory.

    Each chunk is labelled on its own; pieces of neighbouring chunks that touch are then joined. Iterating labels the
    chunks again, which is cheaper than keeping four bytes for each voxel.

    Args:
        mask: bool [slices, rows, columns].

    Attributes:
        count: number of components.
    """

    def __init__(self, mask: np.ndarray) -> None:
        self._mask = mask
        size = max(1, CHUNK_VOXELS // (mask.shape[1] * mask.shape[2]))
        self._chunks = [slice(start, min(start + size, len(mask))) for start in range(0, len(mask), size)]
        self._first = [0]  # number of the first piece of each chunk
        edges: list[np.ndarray] = []  # [2, n] pairs of pieces that touch
        last = None
        for chunk in self._chunks:
            pieces, found = ndimage.label(mask[chunk])
            if last is not None:
                edges.append(np.stack([last, pieces[0]])[:, (last > 0) & (pieces[0] > 0)] - 1)
                edges[-1][0] += self._first[-2]
                edges[-1][1] += self._first[-1]
            last = pieces[-1].copy()
            self._first.append(self._first[-1] + found)
        first, second = np.concatenate(edges, axis=1) if edges else np.zeros((2, 0), int)
        graph = sparse.coo_array((np.ones(len(first), bool), (first, second)), shape=(self._first[-1],) * 2)
        self.count, self._component = sparse.csgraph.connected_components(graph, directed=False)

    def __iter__(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield (chunk of slices, flat indices of its foreground, the components of those voxels)."""
        for chunk, first in zip(self._chunks, self._first, strict=False):
            pieces, _ = ndimage.label(self._mask[chunk])
            voxels = np.flatnonzero(pieces)
            yield chunk, voxels, self._component[pieces.ravel()[voxels] + (first - 1)]
