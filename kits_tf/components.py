"""Connected components of a mask, a few slices at a time: memory does not grow with the volume's slices.

A chunk of slices is labelled by itself; components of neighbouring chunks that touch are then found to be one. Chunks
are labelled a second time when they are asked for, which takes less than keeping four bytes a voxel.
"""

import numpy as np
from scipy import ndimage, sparse

CHUNK_VOXELS = 2**23


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
