"""Proves that zlib reads what the graph compresses."""

import zlib

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kits_tf.export import deflate


@tf.function(input_signature=[tf.TensorSpec([None], tf.uint8)], autograph=False)
def compressed(labels):
    return deflate.compress(labels)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 900)), min_size=1, max_size=30))
@settings(deadline=None, max_examples=200)
def test_zlib_reads_what_is_compressed(runs):
    labels = np.concatenate([np.full(length, value, np.uint8) for value, length in runs])
    assert zlib.decompress(compressed(labels).numpy()) == labels.tobytes()


def test_runs_of_every_length():
    lengths = np.arange(1, 2 * deflate.LONGEST + 5)
    labels = np.repeat(np.resize(np.array([1, 0, 2], np.uint8), lengths.size), lengths)
    assert zlib.decompress(compressed(labels).numpy()) == labels.tobytes()


def test_much_of_nothing_is_little():
    empty = np.zeros(5_000_000, np.uint8)
    stream = compressed(empty).numpy()
    assert zlib.decompress(stream) == empty.tobytes()
    assert len(stream) < empty.size / 150
