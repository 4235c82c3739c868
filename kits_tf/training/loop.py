"""The training loop: one for every strategy, several steps in a compiled call."""

import time

import keras
import numpy as np
import tensorflow as tf

from kits_tf import losses, models
from kits_tf.training.average import Average
from kits_tf.training.gradients import accumulated, summed
from kits_tf.training.schedules import make_schedule
from kits_tf.training.termination import Termination

CALL_SECONDS = 1.0  # a call takes about this long, so that a signal is answered soon
MAX_CALL_STEPS = 100

INPUTS = {"kidney": "slab", "tumor": "image"}
LOSSES = {"kidney": losses.kidney_loss, "tumor": losses.tumor_loss}


class LossError(Exception):
    """The loss, or a weight, is no longer a number.

    Attributes:
        step: the step that found it, from 1.
        name: of the loss, or "a weight".
    """

    def __init__(self, step, name):
        super().__init__(f"{name} is not finite at step {step}")
        self.step = step
        self.name = name


class Trainer:
    """A network, its optimizer and the compiled steps.

    Args:
        config: a KidneyConfig or TumorConfig.
        strategy: a tf.distribute strategy.
        jit: whether XLA compiles a replica's part of a step.

    Attributes:
        model: the network.
        optimizer: Adam on the config's schedule, built.
        average: the moving average of the weights.
    """

    def __init__(self, config, strategy, jit=False):
        self.config = config
        self.strategy = strategy
        with strategy.scope():
            self.model = models.build(config)
            if strategy.num_replicas_in_sync > 1:
                synchronize_batch_normalization(self.model)
            self.optimizer = keras.optimizers.Adam(make_schedule(config))
            is_scaled = keras.mixed_precision.dtype_policy().name == "mixed_float16"
            self._looks_for_overflow = is_scaled and strategy.num_replicas_in_sync > 1  # Keras does on one replica
            if is_scaled:
                self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
            self.optimizer.build(self.model.trainable_variables)
            self.average = Average(self.model, config.average_decay)
        self._names = None
        self._replica_step = tf.function(self._step, jit_compile=True, autograph=False) if jit else self._step
        self._run = tf.function(self._steps)
        self._reduce = tf.function(self._mean, autograph=False)

    def run(self, iterator, count):
        """Takes `count` steps with batches of a distributed iterator.

        Returns:
            (names, values): of the loss and its terms, and float32 [count, names], the mean over the replicas.
        """
        values = self._run(iterator, tf.constant(count)).numpy()
        return self._names, values

    def agree(self, *numbers):
        """The means of numbers over all workers, so that clocks and signals lead to the same decisions everywhere."""
        if self.strategy.num_replicas_in_sync == 1:
            return numbers
        return self._reduce(tf.constant(numbers, tf.float32)).numpy().tolist()

    def _steps(self, iterator, count):
        values = tf.TensorArray(tf.float32, size=count)
        for index in tf.range(count):
            replicas = self.strategy.run(self._replica_step, args=(next(iterator),))
            values = values.write(index, self._mean_of(replicas))
        return values.stack()

    @tf.autograph.experimental.do_not_convert
    def _step(self, batch):
        """One replica's part of a step. The optimizer sums gradients over replicas, so each loss is a share."""
        config, variables = self.config, self.model.trainable_variables
        losses, *gradients = accumulated(self._losses_and_gradients, batch, config.accumulation)
        if config.clip_norm:
            gradients = summed(gradients, self.optimizer.scale_loss(config.clip_norm))
        elif self._looks_for_overflow:
            gradients = summed(gradients)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.average.update(self.optimizer.iterations.value)
        return losses

    def _losses_and_gradients(self, batch):
        stage = self.config.stage
        with tf.GradientTape() as tape:
            outputs = self.model(batch[INPUTS[stage]], training=True)
            total, terms = LOSSES[stage](batch, outputs, self.config)
            share = self.optimizer.scale_loss(total / self.strategy.num_replicas_in_sync)
        self._names = ["loss", *terms]
        return [tf.stack([total, *terms.values()]), *tape.gradient(share, self.model.trainable_variables)]

    def _mean(self, values):
        return self._mean_of(self.strategy.run(tf.identity, args=(values,)))

    @tf.autograph.experimental.do_not_convert
    def _mean_of(self, replicas):
        return self.strategy.reduce("MEAN", replicas, axis=None)


def synchronize_batch_normalization(model):
    """Let batch normalisation see the whole batch, over all replicas; their moving statistics then agree as well."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def train(trainer, iterator, step, keeper):
    """Trains until the keeper says that it is enough, or a signal that it is to stop.

    Args:
        trainer: a Trainer.
        iterator: distributed iterator that starts at `step`.
        step: steps that are done.
        keeper: a Keeper; it saves, validates and shows.

    Returns:
        True when training is over, False when SIGTERM, or a signal to another worker, asked to stop; the state is
        saved either way.

    Raises:
        KeyboardInterrupt: SIGINT (Ctrl-C) asked to stop; the state is saved.
        LossError: the loss is not finite; the state saved last is left as it is.
    """
    count = 1
    with Termination() as termination:
        stopped = keeper.resume(step, termination)
        while not stopped and not keeper.is_over(step):
            start = time.monotonic()
            names, values = trainer.run(iterator, count)
            check_finite(names, values, step)
            keeper.note(step, names, values)
            step += count
            spent = time.monotonic() - start
            asked, seconds, unsaved = trainer.agree(termination.asked, spent / count, keeper.unsaved_seconds())
            stopped = keeper.keep(step, asked > 0, unsaved, termination)
            count = next_count(count, seconds, keeper.next_look(step) - step)
    if stopped and termination.interrupted:
        raise KeyboardInterrupt
    return not stopped


def next_count(count, seconds, left):
    """Steps of the next call: about CALL_SECONDS long, at most twice as many as before, never beyond the next look.

    Args:
        count: steps of the call before.
        seconds: that one of them took.
        left: steps up to the next look.
    """
    wanted = int(CALL_SECONDS / max(seconds, 1e-6))
    return max(1, min(wanted, 2 * count, MAX_CALL_STEPS, left))


def check_finite(names, values, step):
    """Raises LossError at the first step whose losses are not all finite."""
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise LossError(step + int(bad[0, 0]) + 1, names[int(bad[0, 1])])
