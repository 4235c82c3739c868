"""Proves that an STL file holds a closed surface in the patient's coordinates; read back byte by byte."""

import nibabel
import numpy as np
import pytest

from kits_tf.io.surfaces import HEADER, write_surface
from kits_tf.io.volume import working_affine
from tests.tiny import blobs

SHAPE, SPACING_MM, ORIGIN = (20, 40, 60), (3.0, 1.0, 0.8), (11.0, -7.0, 300.0)


def read_stl(path):
    """(normals [n, 3], corners [n, 3, 3]) of a binary STL file."""
    content = path.read_bytes()
    assert content[:80].rstrip() == HEADER and not content[:80].startswith(b"solid")
    count = int.from_bytes(content[80:84], "little")
    assert len(content) == 84 + 50 * count
    rows = np.frombuffer(content[84:], np.uint8).reshape(count, 50)[:, :48].copy().view("<f4").reshape(count, 4, 3)
    return rows[:, 0], rows[:, 1:].astype(np.float64)


def volume_mm3(corners):
    """The enclosed volume by the divergence theorem, positive if normals point outward."""
    return np.linalg.det(corners).sum() / 6


@pytest.mark.parametrize("shear", [0.0, 0.3])
def test_the_surface_encloses_the_labels_volume_around_their_centroid(tmp_path, shear):
    mask, affine = blobs(SHAPE), working_affine(SPACING_MM, ORIGIN)
    affine[0, 0] = shear
    write_surface(mask, affine, tmp_path / "kidney.stl")
    normals, corners = read_stl(tmp_path / "kidney.stl")
    expected = np.count_nonzero(mask) * np.prod(SPACING_MM)
    assert volume_mm3(corners) == pytest.approx(expected, rel=0.03)
    middle = nibabel.affines.apply_affine(affine, np.argwhere(mask)).mean(axis=0) * (-1, -1, 1)
    weights = np.linalg.det(corners)
    centroid = (corners.sum(axis=1) / 4 * weights[:, None]).sum(axis=0) / weights.sum()
    np.testing.assert_allclose(centroid, middle, atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * normals).sum(axis=1).min() >= 0


def test_it_is_closed_also_at_the_edge_of_the_volume_and_within_it(tmp_path):
    """Each edge belongs to two triangles, once in each direction."""
    mask = np.zeros((3, 4, 5), bool)
    mask[0, 1:, 2:] = True
    write_surface(mask, np.eye(4), tmp_path / "corner.stl")
    _, corners = read_stl(tmp_path / "corner.stl")
    _, index = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    faces = index.reshape(-1, 3)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert sorted(map(tuple, edges)) == sorted(map(tuple, edges[:, ::-1])) and len({*map(tuple, edges)}) == len(edges)
    assert corners[..., 0].min() == -0.5 - 0 and corners[..., 2].max() == 4.5


def test_nothing_found_is_a_file_without_facets(tmp_path):
    write_surface(np.zeros(SHAPE, bool), np.eye(4), tmp_path / "tumor.stl")
    assert read_stl(tmp_path / "tumor.stl")[1].shape == (0, 3, 3)
