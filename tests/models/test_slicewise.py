"""The slice-by-slice convolution is Keras's 3D convolution: same weights, same numbers, same gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kits_tf.models.slicewise import BLOCK, SlicewiseConvolution3D
from tests.models.harness import check_layer_round_trip, random_input, randomise_after_call

SHAPES = [  # fewer slices than a block, as many, several blocks, the last of them in part
    (7, (2, 6, 5, 4, 2)),
    (7, (1, 1, 8, 9, 3)),
    (3, (2, 4, 4, 4, 1)),
    (7, (2, BLOCK, 3, 4, 2)),
    (7, (1, BLOCK + 1, 4, 3, 2)),
    (5, (2, 3 * BLOCK - 2, 3, 3, 2)),
]


@pytest.mark.parametrize(("size", "shape"), SHAPES)
def test_agrees_with_the_3d_convolution(size, shape):
    x = tf.constant(random_input(*shape))
    slicewise = randomise_after_call(SlicewiseConvolution3D(size), x)
    plain = keras.layers.Conv3D(1, size, padding="same", use_bias=False)
    plain.build(shape)
    plain.set_weights(slicewise.get_weights())
    results = []
    for layer in (slicewise, plain):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.square(y))
        results.append([y, *tape.gradient(loss, [x, layer.kernel.value])])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_sizes_may_be_open():
    layer = randomise_after_call(SlicewiseConvolution3D(7), random_input(1, 2, 2, 2, 2))
    graph = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, None, 2))])
    for shape in ((1, 3, 4, 5, 2), (2, 2 * BLOCK, 3, 2, 2), (1, BLOCK + 5, 2, 2, 2)):
        x = random_input(*shape)
        np.testing.assert_allclose(graph(x), layer(x), rtol=0, atol=1e-5)


def test_round_trip_through_the_config():
    check_layer_round_trip(SlicewiseConvolution3D(7, name="scores"), random_input(1, 4, 4, 4, 2))
