"""Proves the graph's own parts against other roads: components and sides, boxes, zlib."""

import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from kits_tf import geometry, sides
from kits_tf.export import components, deflate, regions
from kits_tf.export.sides import kidney_sides

SPACING_MM = (10.0, 5.0, 5.0)  # 0.25 ml a voxel: 8 voxels are 2 ml

masks = st.tuples(
    st.integers(1, 7), st.integers(1, 9), st.integers(1, 11), st.floats(0, 1), st.integers(0, 2**31)
).map(lambda drawn: np.random.default_rng(drawn[4]).random(drawn[:3]) < drawn[3])

# Retraced for no size; compiled once, so that hypothesis pays for it once.
VOLUME = tf.TensorSpec([None, None, None], tf.bool)


@tf.function(input_signature=[VOLUME], autograph=False)
def runs_of(mask):
    return tuple(components.find_runs(mask))


@tf.function(input_signature=[VOLUME, tf.TensorSpec([3], tf.float64), tf.TensorSpec([], tf.int32)], autograph=False)
def sides_of(mask, spacing_mm, middle):
    return kidney_sides(mask, spacing_mm, middle)


@tf.function(input_signature=[tf.TensorSpec([None], tf.uint8)], autograph=False)
def compressed(labels):
    return deflate.compress(labels)


def snake():
    """One component that winds through every row: its ends meet late."""
    mask = np.zeros((1, 41, 30), bool)
    mask[0, ::2] = True
    mask[0, 1::4, -1] = mask[0, 3::4, 0] = True
    return mask


def spiral():
    """Two spirals one inside the other, each one component."""
    mask = np.zeros((1, 21, 21), bool)
    for ring in range(0, 10, 2):
        mask[0, ring, ring : 21 - ring] = mask[0, 20 - ring, ring : 21 - ring] = True
        mask[0, ring : 21 - ring, ring] = mask[0, ring : 21 - ring, 20 - ring] = True
    return mask


def assert_components_agree(mask):
    start, length, component = (value.numpy() for value in runs_of(mask))
    labelled, count = ndimage.label(mask)
    flat = labelled.ravel()
    assert length.sum() == mask.sum()
    assert all((flat[s : s + n] == flat[s]).all() and flat[s] for s, n in zip(start, length, strict=True))
    pairs = set(zip(component.tolist(), flat[start].tolist(), strict=True))
    assert len(pairs) == count == len({ours for ours, _ in pairs})


@given(masks)
@settings(deadline=None, max_examples=150)
def test_components_are_those_of_scipy(mask):
    assert_components_agree(mask)


@pytest.mark.parametrize("mask", [snake(), snake().transpose(1, 0, 2), snake().transpose(2, 1, 0), spiral()])
def test_components_that_wind(mask):
    assert_components_agree(np.ascontiguousarray(mask))


@given(masks, st.integers(0, 11))
@settings(deadline=None, max_examples=150)
def test_sides_are_those_of_prediction(mask, middle):
    expected = sides.kidney_sides(mask, SPACING_MM, middle)
    np.testing.assert_array_equal(sides_of(mask, SPACING_MM, middle), expected)


@pytest.mark.parametrize("columns, middle", [((4, 18), 10), ((8, 18), 10), ((9, 20), 10), ((10, 11), 10), ((0, 4), 2)])
def test_horseshoes_pelvic_kidneys_and_ties(columns, middle):
    mask = np.zeros((6, 12, 21), bool)
    mask[1:4, 4:8, slice(*columns)] = True
    mask[5, 0, :7] = True  # a speck under 2 ml
    expected = sides.kidney_sides(mask, SPACING_MM, middle)
    np.testing.assert_array_equal(sides_of(mask, SPACING_MM, middle), expected)
    assert not expected[5].any()


@given(masks)
@settings(deadline=None, max_examples=50)
def test_boxes_are_those_of_prediction(mask):
    box = tuple(tuple(int(bound) for bound in bounds) for bounds in regions.bounding_box(mask))
    expected = sides.bounding_box(mask) or tuple(slice(0, size) for size in mask.shape)
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


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 900)), min_size=1, max_size=30))
@settings(deadline=None, max_examples=200)
def test_zlib_reads_what_is_compressed(runs):
    labels = np.concatenate([np.full(length, value, np.uint8) for value, length in runs])
    assert zlib.decompress(compressed(labels).numpy()) == labels.tobytes()


def test_every_length_of_copy_and_much_of_nothing():
    for length in range(1, 2 * deflate.LONGEST + 5):
        labels = np.repeat(np.array([1, 0, 2], np.uint8), [length, 1, length])
        assert zlib.decompress(compressed(labels).numpy()) == labels.tobytes()
    empty = np.zeros(50_000_000, np.uint8)
    stream = compressed(empty).numpy()
    assert zlib.decompress(stream) == empty.tobytes()
    assert len(stream) < empty.size / 150
