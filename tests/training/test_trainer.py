"""Proves the compiled step's options on one batch in memory: accumulation, clipping, averaging and XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kits_tf.training.loop import Trainer
from tests.training.tiny_runs import tiny_config

RATE = {"learning_rate": 0.01, "schedule": "constant", "warmup_steps": 0}


def take_steps(count, jit=False, **options):
    """Takes steps on one random batch from one start: (trainer, losses [steps, names])."""
    keras.utils.set_random_seed(1)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    trainer = Trainer(tiny_config(**RATE, **options), strategy, jit)
    draw = np.random.default_rng(2)
    slab = draw.random((4, 16, 16, 3), np.float32)
    batch = {"slab": slab, "label": (slab[..., :1] > 0.7).astype(np.float32)}
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    _, values = trainer.run(iter(strategy.experimental_distribute_dataset(dataset)), count)
    return trainer, values


@pytest.fixture(name="plain", scope="module")
def plain_run():
    return take_steps(3)


def test_a_batch_in_parts_takes_the_same_steps(plain):
    trainer, values = take_steps(3, accumulation=2)
    np.testing.assert_allclose(values, plain[1], rtol=1e-5)
    for found, expected in zip(trainer.model.get_weights(), plain[0].model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_xla_takes_the_same_steps(plain):
    _, values = take_steps(3, jit=True)
    np.testing.assert_allclose(values, plain[1], rtol=1e-4)


def test_the_optimizer_sees_a_clipped_gradient_and_the_average_lags():
    """Adam's first moment after one step is a tenth of the gradient, so its length is a tenth of clip_norm."""
    trainer, _ = take_steps(1, clip_norm=1e-3, average_decay=0.9)
    moments = trainer.optimizer._momentums
    length = np.sqrt(sum(np.square(moment.numpy()).sum() for moment in moments))
    assert length == pytest.approx(1e-4, rel=1e-4)
    keras.utils.set_random_seed(1)
    start = Trainer(tiny_config(**RATE), tf.distribute.OneDeviceStrategy("CPU:0")).model.get_weights()
    decay = 2 / 11  # the decay of the first step
    for average, first, weight in zip(trainer.average.weights(), start, trainer.model.get_weights(), strict=True):
        np.testing.assert_allclose(average, decay * first + (1 - decay) * weight, atol=1e-6)
