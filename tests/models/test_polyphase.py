"""Polyphase and Haar pooling lose nothing (frame bounds 1 and 1, exact inverses); pooling by maximum does."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kits_tf.models.blocks import max_pooling
from kits_tf.models.polyphase import HaarPooling, HaarUnpooling, PolyphasePooling, PolyphaseUnpooling, haar_matrix
from tests.models import reference
from tests.models.harness import check_layer_round_trip, random_input

PAIRS = {"polyphase": (PolyphasePooling, PolyphaseUnpooling, 0), "haar": (HaarPooling, HaarUnpooling, 1e-6)}
SHAPES = [(1, 2, 2, 1), (2, 2, 8, 3), (3, 6, 4, 5), (1, 34, 10, 2), (1, 2, 2, 2, 1), (2, 4, 2, 6, 3), (1, 8, 6, 10, 4)]
LONGEST = {2: 16, 3: 8}  # by rank: every even size up to here


def even_sizes(rank):
    return itertools.product(range(2, LONGEST[rank] + 1, 2), repeat=rank)


def signal(shape):
    """White noise of both signs."""
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def energy(x):
    return float(np.sum(np.square(np.asarray(x, np.float64))))


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_inverse_gives_the_signal_back(kind, shape):
    pooling, unpooling, tolerance = PAIRS[kind]
    x = signal(shape)
    pooled = pooling()(x)
    rank = len(shape) - 2
    assert tuple(pooled.shape) == (shape[0], *[n // 2 for n in shape[1:-1]], shape[-1] * 2**rank)
    np.testing.assert_allclose(unpooling()(pooled), x, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("shape", SHAPES)
def test_bands_are_those_of_strided_slices(kind, shape):
    x = signal(shape)
    np.testing.assert_allclose(PAIRS[kind][0]()(x), reference.pool(x, kind), rtol=0, atol=1e-6)


def test_polyphase_order_by_hand():
    x = np.arange(16, dtype="float32").reshape(1, 2, 4, 2)  # pixels (row, column), two channels each
    np.testing.assert_array_equal(
        PolyphasePooling()(x)[0, 0], [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]
    )


def test_haar_by_hand():
    x = np.array([[1, 2], [3, 5]], "float32").reshape(1, 2, 2, 1)
    # (1+2+3+5)/2, (1-2+3-5)/2, (1+2-3-5)/2, (1-2-3+5)/2
    np.testing.assert_allclose(HaarPooling()(x)[0, 0, 0], [5.5, -1.5, -2.5, 0.5])


@pytest.mark.parametrize("rank", [2, 3])
def test_haar_matrix_is_orthonormal_and_symmetric(rank):
    matrix = haar_matrix(rank)
    np.testing.assert_allclose(matrix, reference.signs(rank), atol=1e-15)
    np.testing.assert_allclose(matrix @ matrix, np.eye(2**rank), atol=1e-15)


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("rank", LONGEST)
def test_frame_bounds_and_reconstruction_at_every_even_size(kind, rank):
    """|Phi^T f|^2 = |f|^2 for the layer and for its own adjoint (its gradient), which undoes it: both bounds are 1."""
    pooling, unpooling, tolerance = PAIRS[kind][0](), PAIRS[kind][1](), PAIRS[kind][2]
    for size in even_sizes(rank):
        x = tf.constant(signal((2, *size, 3)))
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            pooled = pooling(x)
        adjoint = tape.gradient(pooled, x, output_gradients=pooled)
        np.testing.assert_allclose(adjoint, x, rtol=0, atol=tolerance, err_msg=str(size))
        np.testing.assert_allclose(unpooling(pooled), x, rtol=0, atol=tolerance, err_msg=str(size))
        direction = tf.constant(signal(tuple(pooled.shape)))
        adjoint = tape.gradient(pooled, x, output_gradients=direction)
        np.testing.assert_allclose(adjoint, unpooling(direction), rtol=0, atol=tolerance, err_msg=str(size))
        ratios = [energy(pooled) / energy(x), energy(adjoint) / energy(direction)]
        np.testing.assert_allclose(ratios, 1, rtol=0, atol=1e-6, err_msg=str(size))


@pytest.mark.parametrize("size", [(4, 4), (2, 6), (2, 4, 2)])
def test_frame_bounds_from_the_whole_operator(size):
    """All impulses through the layer give its matrix; the squares of its singular values lie between the bounds."""
    impulses = np.eye(int(np.prod(size)), dtype="float32").reshape(-1, *size, 1)
    for pooling, _, tolerance in PAIRS.values():
        matrix = np.reshape(pooling()(impulses), (len(impulses), -1))
        squares = np.linalg.svd(matrix, compute_uv=False) ** 2
        np.testing.assert_allclose(squares, 1, rtol=0, atol=max(tolerance, 1e-6))


@pytest.mark.parametrize("rank", [2, 3])
def test_pooling_by_maximum_violates_the_frame_condition(rank):
    pool = max_pooling(rank)
    shape = (1, *[4] * rank, 1)
    dip = np.zeros(shape, "float32")
    dip[(0, *[1] * rank, 0)] = -1
    assert energy(pool(dip)) == 0  # so the lower bound is 0: a signal vanishes
    ratios = [energy(pool(x)) / energy(x) for x in (np.ones(shape, "float32"), -signal(shape), signal(shape))]
    assert ratios[0] == 0.5**rank and np.ptp(ratios) > 0.1  # and what survives depends on the signal
    checks = np.indices(shape).sum(axis=0).astype("float32") % 2
    np.testing.assert_array_equal(pool(checks), pool(np.ones(shape, "float32")))  # the highest frequency is lost


@pytest.mark.parametrize("kind", PAIRS)
def test_sizes_may_be_open(kind):
    """One graph serves every size."""
    pooling, unpooling, tolerance = PAIRS[kind]
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, unpooling()(pooling()(inputs)))
    assert model.output_shape == (None, None, None, 3)
    there_and_back = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for shape in ((1, 2, 4, 3), (2, 10, 6, 3)):
        np.testing.assert_allclose(there_and_back(signal(shape)), signal(shape), rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", PAIRS)
def test_round_trip_through_the_config(kind):
    pooling, unpooling, _ = PAIRS[kind]
    check_layer_round_trip(pooling(name="down"), random_input(1, 4, 4, 2))
    check_layer_round_trip(unpooling(name="up"), random_input(1, 4, 4, 8))


@pytest.mark.parametrize("kind", PAIRS)
def test_sizes_and_channels_that_do_not_divide(kind):
    pooling, unpooling, _ = PAIRS[kind]
    with pytest.raises(ValueError, match=r"\(1, 5, 4, 2\): takes even spatial sizes"):
        pooling()(random_input(1, 5, 4, 2))
    with pytest.raises(ValueError, match="takes channels that are a multiple of 4"):
        unpooling()(random_input(1, 4, 4, 6))
