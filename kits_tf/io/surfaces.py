"""Write closed surfaces of labels as binary STL, in patient coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine

from kits_tf import files
from kits_tf.boxes import bounding_box

if TYPE_CHECKING:
    import os

HEADER = b"kits-tf SPACE=LPS UNIT=mm"  # 3D Slicer reads the axes from here
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])


def write_surface(mask: np.ndarray, affine: np.ndarray, path: str | os.PathLike) -> None:
    """Write the surface of a mask as binary STL in LPS mm, atomically; normals point outward.

    Args:
        mask: bool [slices, rows, columns]; an empty one makes a file without facets.
        affine: [4, 4], (slice, row, column, 1) to RAS mm.
        path: A name ending in `.stl`.
    """
    corners = surface(mask, affine) * (-1, -1, 1)
    facets = np.zeros(len(corners), _FACET)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facets["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    facets["corners"] = corners
    with files.replacing(path) as temporary:
        temporary.write_bytes(HEADER.ljust(80) + np.uint32(len(facets)).tobytes() + facets.tobytes())


def surface(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the corners of the triangles around a mask by marching cubes (Lewiner et al. 2003).

    Args:
        mask: bool [slices, rows, columns].
        affine: [4, 4], (slice, row, column, 1) to RAS mm.

    Returns:
        float64 [triangles, 3, 3], RAS mm, counterclockwise as seen from outside.
    """
    from skimage.measure import marching_cubes

    box = bounding_box(mask)
    if box is None:
        return np.zeros((0, 3, 3))
    vertices, faces, _, _ = marching_cubes(np.pad(mask[box].astype(np.float32), 1), 0.5)
    corners = apply_affine(affine, vertices + [part.start - 1 for part in box])[faces]
    is_inward = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0
    return corners[:, ::-1] if is_inward else corners
