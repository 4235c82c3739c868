"""Which foreground is which kidney: component filtering, and left and right by component."""

import typing

import numpy as np
from scipy import ndimage, sparse

from kits_tf.arrays import NumPy

CHUNK_VOXELS = 2**23  # of a mask labelled at a time, to bound memory
MIN_COMPONENT_ML = 2.0
HORSESHOE_SHARE = 0.2  # a component with more than this on both sides of the middle is cut there
RIGHT, LEFT = 1, 2
SIDE_NAMES = {RIGHT: "right", LEFT: "left"}


def kidney_sides(mask, spacing_mm, middle, min_share=0.0):
    """Assigns the foreground to the patient's right and left kidney.

    Components (6-neighbour) under 2 ml are dropped. Each other one goes whole to the side that holds its centroid; one
    with over 20 % of its volume on both sides (a horseshoe kidney) is cut at the middle. A centroid on the middle
    counts as right. Then, on each side, what is small beside the largest is dropped too (`min_share`).

    Args:
        mask: [slices, rows, columns] bool, kidney and tumor as one class.
        spacing_mm: (slice, row, column).
        middle: first column of the left half.
        min_share: components under this share of the largest on their side are dropped; a horseshoe kidney is on
            both, and stays if it is large enough for one of them.

    Returns:
        uint8 array of the mask's shape: 0 nothing, 1 right (columns below the middle), 2 left.
    """
    sides = np.zeros(mask.shape, np.uint8)
    box = bounding_box(mask)
    if box is None:
        return sides
    inside, first = sides[box], box[2].start
    components = Components(mask[box])
    size, left, columns = (np.zeros(components.count, np.int64) for _ in range(3))
    for _, voxels, component in components:
        column = voxels % inside.shape[2] + first
        size += np.bincount(component, minlength=components.count)
        left += np.bincount(component[column >= middle], minlength=components.count)
        columns += np.bincount(component, column, minlength=components.count).astype(np.int64)
    found = sides_of_components(NumPy, size, left, columns, spacing_mm, middle, min_share).astype(np.uint8)
    for chunk, voxels, component in components:
        is_left = voxels % inside.shape[2] + first >= middle
        part = np.zeros(inside[chunk].shape, np.uint8)
        part.ravel()[voxels] = found[is_left.astype(np.uint8), component]
        inside[chunk] = part
    return sides


def sides_of_components(xp, size, left, columns, spacing_mm, middle, min_share):
    """The side of each component's voxels, by the rules of `kidney_sides`; NumPy or TensorFlow (see `arrays`).

    Args:
        size: [n] voxels of each component; may be 0.
        left: [n] how many of them lie in the left half.
        columns: [n] sum of their columns.
        spacing_mm: (slice, row, column).
        middle: first column of the left half.
        min_share: of the largest on a component's side.

    Returns:
        [2, n] integers: the side of what lies right of the middle, and of what lies left of it; 0 for what is dropped.
    """
    size = xp.maximum(xp.cast(size, xp.float64), 1.0)
    left_share = xp.cast(left, xp.float64) / size
    centroid = xp.cast(columns, xp.float64) / size
    whole = xp.where(centroid + 0.5 <= xp.cast(middle, xp.float64), RIGHT, LEFT)
    is_horseshoe = (left_share > HORSESHOE_SHARE) & (left_share < 1 - HORSESHOE_SHARE)
    is_speck = size * (spacing_mm[0] * spacing_mm[1] * spacing_mm[2]) / 1000 < MIN_COMPONENT_ML
    least = [min_share * xp.max(size * xp.cast(is_horseshoe | (whole == side), xp.float64)) for side in (RIGHT, LEFT)]
    is_small = size < xp.where(is_horseshoe, xp.minimum(*least), xp.where(whole == RIGHT, *least))
    dropped = is_speck | is_small
    return xp.stack([xp.where(dropped, 0, xp.where(is_horseshoe, half, whole)) for half in (RIGHT, LEFT)])


def config_of_sides(configs):
    """The config that says how sides are told, whatever the order of networks.

    Args:
        configs: {network name: config}.

    Returns:
        The tumor network's, whose samples were cut by it; without one, that of a network cut to the body, if any is.
    """
    return configs.get("tumor") or max(configs.values(), key=lambda config: config.body_box)


class Kidney(typing.NamedTuple):
    """One kidney of a side map: its side (1 right, 2 left) and its bounding box as a tuple of slices."""

    side: int
    box: tuple


def kidneys(sides):
    """The kidneys of a side map, right before left; a side without voxels has none."""
    found = ndimage.find_objects(sides, max_label=2)
    return [Kidney(side, box) for side, box in zip((RIGHT, LEFT), found, strict=True) if box is not None]


def box_within(outer, inner):
    """The box `inner`, counted from the first voxel of the box `outer`, as one of the whole array."""
    return tuple(slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True))


def bounding_box(mask):
    """The bounding box of a mask as a tuple of slices, or None for an empty mask."""
    bounds = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        indices = np.flatnonzero(mask.any(axis=others))
        if not len(indices):
            return None
        bounds.append(slice(int(indices[0]), int(indices[-1]) + 1))
    return tuple(bounds)


class Components:
    """The components (6-neighbour) of a mask.

    Args:
        mask: bool [slices, rows, columns].

    Attributes:
        count: how many there are.
    """

    def __init__(self, mask):
        self._mask = mask
        size = max(1, CHUNK_VOXELS // (mask.shape[1] * mask.shape[2]))
        self._chunks = [slice(start, min(start + size, len(mask))) for start in range(0, len(mask), size)]
        self._first = [0]  # number of each chunk's first piece
        edges, last = [], None
        for pieces, found in map(self._pieces, self._chunks):
            if last is not None:
                edges.append(np.stack([last, pieces[0]])[:, (last > 0) & (pieces[0] > 0)] - 1)
                edges[-1][0] += self._first[-2]
                edges[-1][1] += self._first[-1]
            last = pieces[-1].copy()
            self._first.append(self._first[-1] + found)
        self.count, self._component = joined(self._first[-1], edges)

    def _pieces(self, chunk):
        return ndimage.label(self._mask[chunk])

    def __iter__(self):
        """Yields (slice, voxels, component): a chunk of slices, flat indices of its foreground, their components."""
        for chunk, first in zip(self._chunks, self._first, strict=False):
            pieces, _ = self._pieces(chunk)
            voxels = np.flatnonzero(pieces)
            yield chunk, voxels, self._component[pieces.ravel()[voxels] + (first - 1)]


def joined(count, edges):
    """Numbers pieces by what they are part of.

    Args:
        count: of the pieces.
        edges: list of [2, n]: pairs of pieces that touch.

    Returns:
        (number of components, [count] the component of each piece).
    """
    first, second = np.concatenate(edges, axis=1) if edges else np.zeros((2, 0), int)
    graph = sparse.coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return sparse.csgraph.connected_components(graph, directed=False)
