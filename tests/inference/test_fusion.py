"""Proves what planes that disagree become: every combination of two or three planes' answers, one a voxel."""

import itertools

import numpy as np
import pytest

from kits_tf.inference.fusion import UNIT, Fusion

ANSWERS = np.array(list(itertools.product((0.1, 0.45, 0.55, 0.9), repeat=3)), np.float32).T.reshape(3, 4, 4, 4)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("method", ["union", "majority", "mean"])
def test_planes_that_disagree(method, count, keep):
    """Each plane comes in parts of its own kind, beside voxels that no plane touches."""
    planes, fusion = ANSWERS[:count], Fusion((4, 5, 6), method, count, keep)
    add = fusion.region((slice(None), slice(1, 5), slice(2, 6)))
    for axis, plane in enumerate(planes):
        for index in range(4):
            part = (*[slice(None)] * axis, index)
            add(lambda whole, part=part: whole[part], plane[part])
    votes, mean = (planes > 0.5).sum(axis=0), planes.astype(np.float64).mean(axis=0)
    expected = {"union": votes >= 1, "majority": votes >= 2, "mean": mean > 0.5 + 1e-6}[method]
    found = fusion.mask()
    np.testing.assert_array_equal(found[:, 1:, 2:], expected)
    assert not found[:, 0].any() and not found[:, :, :2].any()
    if keep:
        probability = planes.max(axis=0) if method == "union" else mean
        np.testing.assert_allclose(fusion.probability()[:, 1:, 2:] / UNIT, probability, atol=1 / UNIT)
