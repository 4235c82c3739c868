"""What `experiments/network_cost` counts, against counts by hand and against what an output truly depends on.

By hand, kidney at base 1, depth 1 and 4 x 4 pixels (16, then 4 positions), then tumor at 2 x 2 x 2 voxels (8, then 1):

    encoder_0  9 (3 + 1) 16        =   576      27 (1 + 1) 8     =   432
    bottom     9 (4*2 + 2*4) 4     =   576      27 (1*2 + 2*2)   =   162
    decoder_0  9 (2 + 1) 16        =   432      27 (2 + 1) 8     =   648
    heads      2 * 16              =    32      2 * 8            =    16
                                                up-convolution 8 * 2 = 16
                                                CBAM: 7**3 * 2 a position, 17 in all = 11 662
                                                      the MLP twice: 2 (1 + 1), 2 (2 + 2), 2 (1 + 1) = 16
"""

import numpy as np
import tensorflow as tf

from experiments.network_cost.run import activation_bytes, multiply_adds, receptive_field
from kits_tf.models import KidneyNetwork, TumorNetwork


def count(network):
    return sum(multiply_adds(layer) for layer in network.layers)


def test_multiply_adds_by_hand():
    assert count(KidneyNetwork(1, depth=1, size=(4, 4))) == 576 + 576 + 432 + 32
    assert count(TumorNetwork(1, depth=1, size=(2, 2, 2))) == 432 + 162 + 648 + 16 + 16 + 11_662 + 16


def test_activations_by_hand():
    """Three layers' outputs for each convolution; pooled 16, unpooled 16, joined 32; two heads of 16."""
    encoder, bottom, decoder = 2 * 3 * 16, 3 * 8 + 3 * 16, 2 * 3 * 16
    floats = encoder + 16 + bottom + 16 + 32 + decoder + 2 * 16
    assert activation_bytes(KidneyNetwork(1, depth=1, size=(4, 4))) == 4 * floats


def test_receptive_field_of_the_polyphase_network():
    """The widest extent of a gradient; weights are positive, so that no ReLU hides a dependence."""
    network = KidneyNetwork(1, depth=2)
    for variable in network.weights:
        if variable.name == "kernel":
            variable.assign(np.full(variable.shape, 1 / np.prod(variable.shape[:-1])))
    x = tf.ones((4, 64, 4, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = network(x)["logits"]
        picked = tf.reduce_sum(tf.linalg.diag_part(logits[:, 32:36, 0, 0]))  # one position of each phase
    rows = np.abs(tape.gradient(picked, x)).sum(axis=(2, 3)) > 0
    extents = [np.ptp(np.flatnonzero(one)) + 1 for one in rows]
    assert max(extents) == receptive_field(2, gates=True, cbam=False) < 64
