"""Proves that components found chunk by chunk are those of the whole mask, whatever the chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as shapes
from scipy import ndimage

from kits_tf import laterality
from kits_tf.laterality import Components

masks = shapes.arrays(bool, shapes.array_shapes(min_dims=3, max_dims=3, max_side=7))


def numbered(mask):
    """The component of each voxel, -1 in the background."""
    found = np.full(mask.shape, -1)
    for chunk, voxels, component in Components(mask):
        found[chunk].ravel()[voxels] = component
    return found


def assert_agrees(mask):
    expected, count = ndimage.label(mask)
    found = numbered(mask)
    assert Components(mask).count == count
    np.testing.assert_array_equal(found >= 0, mask)
    assert len(set(zip(found[mask].tolist(), expected[mask].tolist(), strict=True))) == count
    assert len(set(found[mask].tolist())) == count


@pytest.mark.parametrize("chunk_voxels", [1, 60, 10**9])
@given(masks)
@settings(deadline=None, max_examples=60)
def test_components_are_those_of_scipy(chunk_voxels, mask):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laterality, "CHUNK_VOXELS", chunk_voxels)
        assert_agrees(mask)


def test_a_component_may_leave_a_chunk_and_come_back(monkeypatch):
    """A U whose arms meet in the last slice alone."""
    monkeypatch.setattr(laterality, "CHUNK_VOXELS", 1)
    mask = np.zeros((6, 1, 3), bool)
    mask[:, 0, 0] = mask[:, 0, 2] = mask[-1, 0, 1] = True
    assert Components(mask).count == 1
    assert Components(mask[:-1]).count == 2


def test_an_empty_mask_has_none():
    assert Components(np.zeros((2, 3, 4), bool)).count == 0
