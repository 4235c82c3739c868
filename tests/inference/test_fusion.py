"""Proves what planes that disagree become: every combination of two or three planes' answers, one a voxel."""

import itertools

import numpy as np
import pytest

from kits_tf.inference.fusion import UNIT, Fusion, mask_of, stored

ANSWERS = np.array(list(itertools.product((0.1, 0.45, 0.55, 0.9), repeat=3)), np.float32).T.reshape(3, 4, 4, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, bool])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("method", ["union", "majority", "mean"])
def test_planes_that_disagree(method, count, dtype):
    """Each plane comes in parts of its own kind, beside voxels that no plane touches."""
    planes, fusion = ANSWERS[:count], Fusion((4, 5, 6), method, count, dtype)
    for axis, plane in enumerate(planes):
        for index in range(4):
            part = (*[slice(None)] * axis, slice(index, index + 1))
            fusion.add(plane[part], np.s_[:, 1:, 2:], part)
    votes, mean = (planes > 0.5).sum(axis=0), planes.astype(np.float64).mean(axis=0)
    expected = {"union": votes >= 1, "majority": votes > count / 2, "mean": mean > 0.5 + 1e-6}[method]
    fused = fusion.probability()
    found = mask_of(fused)
    np.testing.assert_array_equal(found[:, 1:, 2:], expected)
    assert not found[:, 0].any() and not found[:, :, :2].any()
    if dtype is not bool:
        middle = np.sort(planes, axis=0)[(count - 1) // 2]  # the lower of two
        probability = {"union": planes.max(axis=0), "majority": middle, "mean": mean}[method]
        unit = UNIT if dtype is np.uint16 else 1
        np.testing.assert_allclose(fused[:, 1:, 2:] / unit, probability, atol=1 / UNIT)


def test_no_voxel_changes_sides_in_fixed_point():
    half = np.float32(0.5)
    near = np.array([0, half - 2e-5, np.nextafter(half, half - 1), half, np.nextafter(half, half + 1), 1], np.float32)
    np.testing.assert_array_equal(mask_of(stored(near, np.uint16)), near > 0.5)


@pytest.mark.parametrize("dtype", [np.float32, bool])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_planes_agree_where_all_see_and_find_the_kidney(count, dtype):
    """Each plane sees a column less than the one before."""
    planes, fusion = ANSWERS[:count], Fusion((4, 4, 4), "all", count, dtype)
    for number, plane in enumerate(planes):
        box = np.s_[:, :, number:]
        fusion.clear_around(box)
        fusion.add(plane[box], box)
    expected = (planes > 0.5).all(axis=0)
    expected[:, :, : count - 1] = False
    np.testing.assert_array_equal(mask_of(fusion.probability()), expected)
