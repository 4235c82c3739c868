"""The training loop: one for every strategy, several steps in a compiled call."""

import signal
import threading
import time

import keras
import numpy as np
import tensorflow as tf

from kits_tf import losses, models
from kits_tf.training.schedules import make_schedule

CALL_SECONDS = 1.0  # a call takes about this long, so that a signal is answered soon
MAX_CALL_STEPS = 100
SAVE_SECONDS = 120.0

INPUTS = {"kidney": "slab", "tumor": "image"}
LOSSES = {"kidney": losses.kidney_loss, "tumor": losses.tumor_loss}


class LossError(Exception):
    """The loss is no longer a number."""

    def __init__(self, step, name):
        super().__init__(f"{name} is not finite at step {step}")
        self.step = step


class Trainer:
    """A network, its optimizer and the compiled steps.

    Args:
        config: a KidneyConfig or TumorConfig.
        strategy: a tf.distribute strategy.

    Attributes:
        model: the network.
        optimizer: Adam on the config's schedule, built.
    """

    def __init__(self, config, strategy):
        self.config = config
        self.strategy = strategy
        with strategy.scope():
            self.model = models.build(config)
            self.optimizer = keras.optimizers.Adam(make_schedule(config))
            if keras.mixed_precision.dtype_policy().name == "mixed_float16":
                self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
            self.optimizer.build(self.model.trainable_variables)
        self._names = None
        self._run = tf.function(self._steps)

    def run(self, iterator, count):
        """Takes `count` steps with batches of a distributed iterator.

        Returns:
            (names, values): of the loss and its terms, and float32 [count, names], the mean over the replicas.
        """
        values = self._run(iterator, tf.constant(count)).numpy()
        return self._names, values

    def _steps(self, iterator, count):
        values = tf.TensorArray(tf.float32, size=count)
        for index in tf.range(count):
            replicas = self.strategy.run(self._step, args=(next(iterator),))
            values = values.write(index, self.strategy.reduce("MEAN", replicas, axis=None))
        return values.stack()

    @tf.autograph.experimental.do_not_convert
    def _step(self, batch):
        """One replica's part of a step. The optimizer sums gradients over replicas, so each loss is a share."""
        stage = self.config.stage
        with tf.GradientTape() as tape:
            outputs = self.model(batch[INPUTS[stage]], training=True)
            total, terms = LOSSES[stage](batch, outputs, self.config)
            share = self.optimizer.scale_loss(total / self.strategy.num_replicas_in_sync)
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(share, variables), variables, strict=True))
        self._names = ["loss", *terms]
        return tf.stack([total, *terms.values()])


def train(trainer, iterator, step, checkpoints, history, progress):
    """Trains to the config's last step.

    Args:
        trainer: a Trainer.
        iterator: distributed iterator that starts at `step`.
        step: steps that are done.
        checkpoints: a Checkpoints.
        history: a History, or None on a worker that does not write it.
        progress: a Progress.

    Returns:
        True when all steps are done, False when SIGTERM asked to stop; the state is saved either way.

    Raises:
        LossError: the loss is not finite; the state saved last is left as it is.
    """
    total, count = trainer.config.num_steps, 1
    saved, saved_at = step, time.monotonic()
    with Termination() as termination:
        while step < total and not termination.asked:
            start = time.monotonic()
            names, values = trainer.run(iterator, count)
            check_finite(names, values, step)
            if history is not None:
                history.append(rows(trainer, step, names, values))
            step += count
            progress.update(step, dict(zip(names, values.mean(axis=0), strict=True)))
            if step < total and time.monotonic() - saved_at > SAVE_SECONDS:
                checkpoints.save(step)
                saved, saved_at = step, time.monotonic()
            count = next_count(count, time.monotonic() - start, total - step)
        if step > saved:
            checkpoints.save(step)
    return step >= total


def next_count(count, seconds, left):
    """Steps of the next call: at most twice as many, about CALL_SECONDS long, and never beyond the end."""
    wanted = int(count * CALL_SECONDS / max(seconds, 1e-3))
    return max(1, min(wanted, 2 * count, MAX_CALL_STEPS, left))


def check_finite(names, values, step):
    """Raises LossError at the first step whose losses are not all finite."""
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise LossError(step + int(bad[0, 0]) + 1, names[int(bad[0, 1])])


def rows(trainer, step, names, values):
    """Rows of history.csv for the steps after `step`; step 1 is the first."""
    schedule = make_schedule(trainer.config)
    return [
        {
            "step": step + i + 1,
            "learning_rate": float(schedule(step + i)),
            **{name: float(v) for name, v in zip(names, value, strict=True)},
        }
        for i, value in enumerate(values)
    ]


class Termination:
    """While open, SIGTERM is noted in `asked` instead of ending the program in the middle of a step or a file."""

    def __init__(self):
        self.asked = False
        self._previous = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def _note(self, number, frame):
        self.asked = True

    def __exit__(self, *error):
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
