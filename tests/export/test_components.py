"""Proves that components found by runs in a graph are those of scipy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from scipy import ndimage

from kits_tf.export import components
from tests.export.masks import masks


# Retraced for no size; compiled once, so that hypothesis pays for it once.
@tf.function(input_signature=[tf.TensorSpec([None, None, None], tf.bool)], autograph=False)
def runs_of(mask):
    return tuple(components.find_runs(mask))


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
