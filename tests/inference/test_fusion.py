"""Proves what planes that disagree become: every combination of three planes' answers, one a voxel."""

import itertools

import numpy as np
import pytest

from kits_tf.inference.fusion import UNIT, Fusion

VALUES = (0.1, 0.45, 0.55, 0.9)
PLANES = np.array(list(itertools.product(VALUES, repeat=3)), np.float32).T.reshape(3, 4, 4, 4)
EXPECTED = {
    "union": (PLANES > 0.5).any(axis=0),
    "majority": (PLANES > 0.5).sum(axis=0) >= 2,
    "mean": PLANES.astype(np.float64).sum(axis=0) > 1.5 + 1e-6,
}
PROBABILITY = {"union": PLANES.max(axis=0), "majority": PLANES.mean(axis=0), "mean": PLANES.mean(axis=0)}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("method", EXPECTED)
def test_three_planes(method, keep):
    """Each plane comes in parts of its own kind, beside voxels that no plane touches."""
    fusion = Fusion((4, 5, 6), method, 3, keep)
    add = fusion.region((slice(None), slice(1, 5), slice(2, 6)))
    for axis, plane in enumerate(PLANES):
        for index in range(4):
            part = (*[slice(None)] * axis, index)
            add(lambda whole, part=part: whole[part], plane[part])
    found = fusion.mask()
    np.testing.assert_array_equal(found[:, 1:, 2:], EXPECTED[method])
    assert not found[:, 0].any() and not found[:, :, :2].any()
    if keep:
        np.testing.assert_allclose(fusion.probability()[:, 1:, 2:] / UNIT, PROBABILITY[method], atol=1 / UNIT)


def test_of_two_planes_a_majority_is_both():
    fusion = Fusion((1, 1, 4), "majority", 2)
    add = fusion.region((slice(None),) * 3)
    for plane in ([0.9, 0.9, 0.1, 0.1], [0.9, 0.1, 0.9, 0.1]):
        add(lambda whole: whole, np.array(plane, np.float32).reshape(1, 1, 4))
    np.testing.assert_array_equal(fusion.mask(), [[[True, False, False, False]]])
