"""Proves that the graph gives components to the patient's sides as prediction does."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kits_tf import laterality
from kits_tf.export.sides import kidney_sides
from tests.export.masks import masks

SPACING_MM = (10.0, 5.0, 5.0)  # 0.25 ml a voxel: 8 voxels are 2 ml
MASK = tf.TensorSpec([None, None, None], tf.bool)


@tf.function(
    input_signature=[MASK, *(tf.TensorSpec(shape, kind) for shape, kind in
                             (([3], tf.float64), ([], tf.int32), ([], tf.float64)))], autograph=False,
)  # fmt: skip
def sides_of(mask, spacing_mm, middle, min_share):
    return kidney_sides(mask, spacing_mm, middle, min_share)


@given(masks, st.integers(0, 11), st.sampled_from([0.0, 0.33, 1.0]))
@settings(deadline=None, max_examples=150)
def test_sides_are_those_of_prediction(mask, middle, min_share):
    expected = laterality.kidney_sides(mask, SPACING_MM, middle, min_share)
    np.testing.assert_array_equal(sides_of(mask, SPACING_MM, middle, min_share), expected)


@pytest.mark.parametrize("columns, middle", [((4, 18), 10), ((8, 18), 10), ((9, 20), 10), ((10, 11), 10), ((0, 4), 2)])
def test_horseshoes_pelvic_kidneys_and_ties(columns, middle):
    mask = np.zeros((6, 12, 21), bool)
    mask[1:4, 4:8, slice(*columns)] = True
    mask[5, 0, :7] = True  # a speck under 2 ml
    expected = laterality.kidney_sides(mask, SPACING_MM, middle)
    np.testing.assert_array_equal(sides_of(mask, SPACING_MM, middle, 0.0), expected)
    assert not expected[5].any()
