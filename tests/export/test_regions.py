"""Proves that the boxes of the graph are those of prediction."""

import numpy as np
from hypothesis import given, settings

from kits_tf import geometry, laterality
from kits_tf.export import regions
from tests.export.masks import masks


@given(masks)
@settings(deadline=None, max_examples=50)
def test_boxes_are_those_of_prediction(mask):
    box = tuple(tuple(int(bound) for bound in bounds) for bounds in regions.bounding_box(mask))
    expected = laterality.bounding_box(mask) or tuple(slice(0, size) for size in mask.shape)
    assert box == tuple((bounds.start, bounds.stop) for bounds in expected)
    hu = np.where(mask, 40, -1000).astype(np.int16)
    body = tuple(tuple(int(bound) for bound in bounds) for bounds in regions.body_box(hu.astype(np.float32)))
    assert body[1:] == geometry.body_box(hu)
    inside = regions.uncrop(regions.crop(mask, box), box, mask.shape)
    np.testing.assert_array_equal(inside, mask)


def test_the_body_of_many_slices_is_that_of_prediction():
    rng = np.random.default_rng(0)
    hu = rng.choice([-1000, 40], p=[0.9, 0.1], size=(37, 40, 50)).astype(np.int16)
    hu[:, :6] = hu[:, :, 44:] = -1000
    body = regions.body_box(hu.astype(np.float32))
    assert tuple(tuple(int(b) for b in bounds) for bounds in body[1:]) == geometry.body_box(hu)
