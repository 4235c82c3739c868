"""Proves that boxes, components and sides in a graph are those of SciPy and of prediction."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from kits_tf import boxes, geometry, laterality
from kits_tf.export import masks
from kits_tf.export.stage_one import body_box

SPACING_MM = (10.0, 5.0, 5.0)  # 0.25 ml a voxel: 8 voxels are 2 ml
MASK = tf.TensorSpec([None, None, None], tf.bool)
random_masks = st.builds(
    lambda shape, share, seed: np.random.default_rng(seed).random(shape) < share,
    st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 11)),
    st.floats(0, 1),
    st.integers(0, 2**31),
)


NUMBER = tf.TensorSpec([], tf.float64)


@tf.function(input_signature=[MASK, MASK, tf.TensorSpec([], tf.int32), NUMBER, NUMBER], autograph=False)
def in_graph(mask, agreed, middle, min_ml, min_agreement):
    """The box, the runs and the sides of a mask; traced once for every size."""
    spacing_mm = tf.constant(SPACING_MM, tf.float64)
    sides = masks.kidney_sides(mask, spacing_mm, middle, min_ml, min_agreement, agreed)
    return masks.bounding_box(mask), tuple(masks.find_runs(mask)), sides


def assert_agrees(mask, middle=0, min_ml=2.0, min_agreement=0.0):
    agreed = np.random.default_rng(0).random(mask.shape) < 0.5
    box, (start, length, component), sides = in_graph(
        np.ascontiguousarray(mask), agreed, middle, min_ml, min_agreement
    )
    expected = boxes.bounding_box(mask) or tuple(slice(0, size) for size in mask.shape)
    assert tuple(slice(int(first), int(stop)) for first, stop in box) == expected
    np.testing.assert_array_equal(masks.uncrop(masks.crop(mask, box), box, mask.shape), mask)
    labelled, count = ndimage.label(mask)
    flat, start, length = labelled.ravel(), start.numpy(), length.numpy()
    assert length.sum() == mask.sum()
    assert all((flat[s : s + n] == flat[s]).all() and flat[s] for s, n in zip(start, length, strict=True))
    pairs = set(zip(component.numpy().tolist(), flat[start].tolist(), strict=True))
    assert len(pairs) == count == len({ours for ours, _ in pairs})
    expected_sides = laterality.kidney_sides(mask, SPACING_MM, middle, min_ml, min_agreement, agreed)
    np.testing.assert_array_equal(sides, expected_sides)
    return expected_sides


@given(random_masks, st.integers(0, 11), st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([0.0, 0.5, 1.0]))
@settings(deadline=None, max_examples=150)
def test_random_masks(mask, middle, min_ml, min_agreement):
    assert_agrees(mask, middle, min_ml, min_agreement)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_a_component_that_winds_through_every_row(axes):
    """Its ends meet late."""
    mask = np.zeros((1, 41, 30), bool)
    mask[0, ::2] = True
    mask[0, 1::4, -1] = mask[0, 3::4, 0] = True
    assert_agrees(mask.transpose(axes))


@pytest.mark.parametrize("columns, middle", [((4, 18), 10), ((8, 18), 10), ((9, 20), 10), ((10, 11), 10), ((0, 4), 2)])
def test_horseshoes_pelvic_kidneys_and_ties(columns, middle):
    mask = np.zeros((6, 12, 21), bool)
    mask[1:4, 4:8, slice(*columns)] = True
    mask[5, 0, :7] = True  # a speck under 2 ml
    assert not assert_agrees(mask, middle)[5].any()


@pytest.mark.parametrize("share", [0.1, 0.0])
def test_body_boxes(share):
    hu = np.random.default_rng(0).choice([-1000, 40], p=[1 - share, share], size=(37, 40, 50)).astype(np.int16)
    hu[:, :6] = hu[:, :, 44:] = -1000
    hu[:, 9:14, 20:25] = 40
    for spacing_mm in ((3.0, 1.0, 1.0), (1.0, 5.0, 2.5), (2.0, 40.0, 0.2)):
        found = body_box(tf.constant(hu, tf.float32), tf.constant(spacing_mm, tf.float64))
        assert tuple(tuple(map(int, bounds)) for bounds in found)[1:] == geometry.body_box(hu, spacing_mm)


@pytest.mark.parametrize("reach", [(0, 0, 0), (1, 0, 3), (2, 5, 1)])
def test_dilated_masks(reach):
    mask = np.random.default_rng(0).random((5, 9, 12)) < 0.05
    expected = ndimage.binary_dilation(mask, np.ones([2 * voxels + 1 for voxels in reach]))
    np.testing.assert_array_equal(masks.dilated(tf.constant(mask), tf.constant(reach)), expected)
