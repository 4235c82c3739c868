"""Proves that a segmentation of 3D Slicer holds the labels at their places, named and colored; read back by pynrrd."""

import numpy as np
import pytest

nrrd = pytest.importorskip("nrrd")
slicerio = pytest.importorskip("slicerio")

from kits_tf.io.seg_nrrd import write_segmentation  # noqa: E402
from kits_tf.io.volume import working_affine  # noqa: E402

SHAPE = (4, 5, 6)


@pytest.fixture
def written(tmp_path):
    """(labels, affine, path of the file written of them)."""
    labels = np.random.default_rng(0).choice(3, SHAPE).astype(np.uint8)
    affine = working_affine((3.0, 0.8, 0.7), (11.0, -7.0, 300.0))
    affine[:3, :3] = affine[:3, :3] @ [[1, 0, 0], [0, 0.995, -0.0998], [0, 0.0998, 0.995]]  # oblique
    write_segmentation(labels, affine, tmp_path / "scan.seg.nrrd")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.seg.nrrd"]
    return labels, affine, tmp_path / "scan.seg.nrrd"


def test_every_voxel_is_where_it_was(written):
    labels, affine, path = written
    voxels, header = nrrd.read(str(path))
    assert header["space"] == "left-posterior-superior" and voxels.dtype == np.uint8
    assert np.linalg.det(header["space directions"]) > 0, "a right-handed grid"
    for index in np.ndindex(*voxels.shape):
        lps = header["space origin"] + np.dot(index, header["space directions"])
        own = np.linalg.solve(affine, [-lps[0], -lps[1], lps[2], 1])[:3]
        np.testing.assert_allclose(own, np.rint(own), atol=1e-6)
        assert voxels[index] == labels[tuple(np.rint(own).astype(int))]


def test_segments_are_named_colored_and_coded(written):
    _, header = nrrd.read(str(written[2]))
    names = ["ID", "Name", "LabelValue", "Color", "Layer"]
    assert [[header[f"Segment{number}_{name}"] for name in names] for number in (0, 1)] == [
        ["kidney", "kidney", "1", "0.337255 0.705882 0.913725", "0"],
        ["tumor", "tumor", "2", "0.901961 0.623529 0.0", "0"],
    ]
    segments = slicerio.read_segmentation(str(written[2]))["segments"]
    assert [segment["terminology"]["type"][1] for segment in segments] == ["64033007", "108369006"]
    assert segments[1]["terminology"]["anatomicRegion"][1] == "64033007"
