"""Proves gradient accumulation and clipping against NumPy, the latter for one replica and for two."""

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.training.gradients import accumulated, summed

GRADIENTS = [np.array([3.0, 0.0], np.float32), np.array([[4.0], [12.0]], np.float32)]  # together of length 13


def run_clipped(strategy, shares, longest):
    """What the optimizer ends with: each replica's result, summed."""
    found = strategy.run(lambda: summed([tf.constant(share) for share in shares], longest))
    return [strategy.reduce("SUM", gradient, axis=None).numpy() for gradient in found]


@pytest.mark.parametrize("longest, factor", [(6.5, 0.5), (13.0, 1.0), (100.0, 1.0)])
def test_a_long_gradient_is_scaled_down_as_a_whole(longest, factor):
    found = run_clipped(tf.distribute.OneDeviceStrategy("CPU:0"), GRADIENTS, longest)
    for gradient, expected in zip(found, GRADIENTS, strict=True):
        np.testing.assert_allclose(gradient, factor * expected, rtol=1e-6)


def test_the_length_is_that_of_the_sum_over_replicas():
    """Each replica's share of length 6.5 is short enough; the sum of two, 13, is not."""

    class TwoAlike(tf.distribute.ReplicaContext):
        num_replicas_in_sync = 2

        def all_reduce(self, operation, values):
            assert operation == tf.distribute.ReduceOp.SUM
            return [2 * value for value in values]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.distribute, "get_replica_context", lambda: TwoAlike(tf.distribute.get_strategy(), 0))
        parts = summed([tf.constant(gradient / 2) for gradient in GRADIENTS], 6.5)
        unchanged = summed([tf.constant(gradient / 2) for gradient in GRADIENTS])
    for part, whole in zip(parts, GRADIENTS, strict=True):
        np.testing.assert_allclose(2 * part.numpy(), whole / 2, rtol=1e-6)
    for part, whole in zip(unchanged, GRADIENTS, strict=True):
        np.testing.assert_allclose(2 * part.numpy(), whole, rtol=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_parts_add_up_to_the_whole_batch(parts):
    batch = {"a": tf.constant(np.arange(12.0).reshape(6, 2)), "b": tf.constant([1.0, -1.0, 2.0, 5.0, 0.5, 3.0])}
    sizes = []

    def function(part):
        sizes.append(part["b"].shape[0])
        return [tf.reduce_mean(part["a"], axis=0), tf.reduce_mean(part["b"] ** 2)]

    found = tf.function(lambda: accumulated(function, batch, parts))()
    np.testing.assert_allclose(found[0], batch["a"].numpy().mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found[1], (batch["b"].numpy() ** 2).mean(), rtol=1e-6)
    assert sizes == [6 // parts] * parts
