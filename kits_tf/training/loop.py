"""The training loop: one for every strategy, with several steps in a compiled call."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

import keras
import numpy as np
import tensorflow as tf

from kits_tf import losses, models
from kits_tf.config import NetworkConfig
from kits_tf.errors import UsageError
from kits_tf.pipelines.sampling import plain
from kits_tf.training.state import TrainingError, TrainingState
from kits_tf.training.validation import Validation

CALL_SECONDS = 1.0  # of a compiled call, since signals are handled between calls
MAX_CALL_STEPS = 100
SAVE_SECONDS = 120.0

INPUTS = {"kidney": "slab", "tumor": "image"}
LOSSES: dict[str, Callable] = {"kidney": losses.kidney_loss, "tumor": losses.tumor_loss}


class Trainer:
    """A network, its optimizer and the compiled training step.

    Two of Keras' optimizer options are not used: `gradient_accumulation_steps` fails under MirroredStrategy, and
    `use_ema` does not average the moving statistics of batch normalization.

    Args:
        config: The network's config.
        strategy: A tf.distribute strategy.
        jit: Whether XLA compiles a replica's part of a step.
    """

    def __init__(self, config: NetworkConfig, strategy: tf.distribute.Strategy, jit: bool = False) -> None:
        self.config, self.strategy = config, strategy
        is_scaled = keras.mixed_precision.dtype_policy().name == "mixed_float16"
        replicas = strategy.num_replicas_in_sync
        with strategy.scope():
            self.model = models.build(config)
            clip_norm = config.clip_norm / replicas or None  # the optimizer sums over the replicas after clipping
            self._adam = keras.optimizers.Adam(learning_rate_schedule(config), global_clipnorm=clip_norm)
            self.optimizer = keras.optimizers.LossScaleOptimizer(self._adam) if is_scaled else self._adam
            self.optimizer.build(self.model.trainable_variables)
            averaged = self.model.weights if config.average_decay else []
            self.averages = [tf.Variable(weight.numpy(), trainable=False, name="average") for weight in averaged]
        for layer in self.model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = replicas > 1  # use the statistics of the whole batch, over all replicas
        # Neither the norm of a sum nor its finiteness follows from one replica's share.
        self._reduces_first = replicas > 1 and (is_scaled or config.clip_norm > 0)
        self._gathers_batch = replicas > 1 and config.dice_weight > 0 and config.dice_over == "batch"
        self._names: list[str] = []
        self._replica_step = tf.function(self._step, jit_compile=True, autograph=False) if jit else self._step
        self._run = tf.function(self._steps)
        self._mean = plain(lambda values: strategy.reduce("MEAN", values, axis=None))
        self._reduce = tf.function(lambda values: self._mean(strategy.run(tf.identity, args=(values,))))

    def run(self, iterator: Iterator, count: int) -> tuple[list[str], np.ndarray]:
        """Take `count` steps; return the names of rate, loss and terms, and their values, float32 [count, names]."""
        values = self._run(iterator, tf.constant(count)).numpy()
        return self._names, values

    def agree(self, *numbers: float) -> list[float]:
        """Return the means of numbers over all workers, so that all act alike on clocks and signals."""
        if self.strategy.num_replicas_in_sync == 1:
            return list(numbers)
        return self._reduce(tf.constant(numbers, tf.float32)).numpy().tolist()

    def start_from(self, weights: list[np.ndarray]) -> None:
        """Set the network's weights and their averages, in the order of `model.get_weights()`."""
        self.model.set_weights(weights)
        for average, weight in zip(self.averages, weights, strict=False):
            average.assign(weight)

    def weights(self) -> list[np.ndarray]:
        """Return the weights to validate and to save, averaged if the config sets `average_decay`."""
        return [weight.numpy() for weight in self.averages or self.model.weights]

    def _steps(self, iterator: Iterator, count: tf.Tensor) -> tf.Tensor:
        values = tf.TensorArray(tf.float32, size=count)
        for index in tf.range(count):
            replicas = self.strategy.run(self._replica_step, args=(next(iterator),))
            values = values.write(index, self._mean(replicas))
        return values.stack()

    @plain
    def _step(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """Take one replica's part of a step; the optimizer sums gradients over the replicas."""
        size = self.config.batch_size // self.strategy.num_replicas_in_sync
        batch = {name: tf.ensure_shape(tensor, [size, *tensor.shape[1:]]) for name, tensor in batch.items()}
        values, *gradients = accumulate(self._losses_and_gradients, batch, self.config.accumulation)
        if self._reduces_first:
            gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        values = tf.concat([[self._adam.learning_rate], values], axis=0)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        self.update_averages()
        return values

    def update_averages(self) -> None:
        """Move the averages towards the weights, a larger part of the way in the first steps."""
        step = tf.cast(self.optimizer.iterations.value, tf.float32)
        decay = tf.minimum(self.config.average_decay, (1 + step) / (10 + step))
        for average, weight in zip(self.averages, self.model.weights, strict=False):
            average.assign(average + (1 - decay) * (tf.cast(weight.value, average.dtype) - average))

    def _losses_and_gradients(self, batch: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        stage, replicas = self.config.stage, self.strategy.num_replicas_in_sync
        with tf.GradientTape() as tape:
            outputs = self.model(batch[INPUTS[stage]], training=True)
            if self._gathers_batch:
                batch, outputs = tf.nest.map_structure(self._gather, (batch, outputs))
            total, terms = LOSSES[stage](batch, outputs, self.config)
            share = self.optimizer.scale_loss(total / replicas)
        self._names = ["learning_rate", "loss", *terms]
        return [tf.stack([total, *terms.values()]), *tape.gradient(share, self.model.trainable_variables)]

    def _gather(self, tensor: tf.Tensor) -> tf.Tensor:
        """Return the samples of all replicas; `ReplicaContext.all_gather` fails with one device a worker."""
        context, count = tf.distribute.get_replica_context(), self.strategy.num_replicas_in_sync
        size, index = self.config.batch_size // count // self.config.accumulation, context.replica_id_in_sync_group
        padding = [[index * size, (count - 1 - index) * size], *[[0, 0]] * (len(tensor.shape) - 1)]
        padded = tf.ensure_shape(tf.pad(tensor, padding), [count * size, *tensor.shape[1:]])
        return context.all_reduce(tf.distribute.ReduceOp.SUM, padded)


def learning_rate_schedule(config: NetworkConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a config's schedule: linear warmup, then constant or half a cosine; or steps without a warmup."""
    rate, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "step" and warmup:
        raise UsageError("set", f"warmup_steps must be 0 with schedule=step, got {warmup}")
    if config.schedule == "step":
        return keras.optimizers.schedules.ExponentialDecay(rate, config.decay_steps, config.decay_factor, True)
    alpha, target = float(config.schedule == "constant"), rate if warmup else None
    first, steps = rate / max(1, warmup), max(1, config.num_steps - warmup)
    return keras.optimizers.schedules.CosineDecay(first, steps, alpha, warmup_target=target, warmup_steps=warmup)


def accumulate(
    function: Callable[[dict[str, tf.Tensor]], list[tf.Tensor]], batch: dict[str, tf.Tensor], parts: int
) -> list[tf.Tensor]:
    """Return the mean of a function's results for equal parts of a batch, one after the other to save memory."""
    if parts == 1:
        return function(batch)
    size = next(iter(batch.values())).shape[0] // parts
    total: list[tf.Tensor] = []
    for first in range(0, parts * size, size):
        with tf.control_dependencies(total):  # or all parts would be in memory at once
            part = {name: tf.identity(tensor[first : first + size]) for name, tensor in batch.items()}
        found = function(part)
        total = [a + b for a, b in zip(total, found, strict=True)] if total else found
    return [tensor / parts for tensor in total]


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yield a list that records SIGTERM or SIGINT (Ctrl-C) instead of stopping; a second signal stops at once."""
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        restore()
        print("stopping: the state is saved first; a second signal stops at once", file=sys.stderr, flush=True)

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    for number in [number for number, handler in handlers.items() if handler != signal.SIG_IGN]:  # as by nohup
        signal.signal(number, note)
    try:
        yield received
    finally:
        restore()


def train(
    trainer: Trainer,
    iterator: Iterator,
    state: TrainingState,
    validation: Validation | None,
    callbacks: keras.callbacks.CallbackList,
) -> bool:
    """Train until all steps are done, validation stops improving, or a signal arrives.

    Args:
        trainer: Takes the steps.
        iterator: A distributed iterator of batches that starts at `state.step`.
        state: Saves the state and the weights.
        validation: Scores the weights; None for never.
        callbacks: Write and show the losses and scores; see `kits_tf.training.callbacks`.

    Returns:
        Whether training is over; False when SIGTERM, or a signal to another worker, stopped it.

    Raises:
        KeyboardInterrupt: SIGINT stopped it; the state is saved.
        TrainingError: A loss or weight is not finite; the last saved state is intact.
    """
    step, count, saved_at, stopped, unsaved = state.step, 1, time.monotonic(), False, 0.0
    with stop_signals() as received:
        while True:
            is_due = validation is not None and not stopped and validation.is_due(step)
            if validation is not None and is_due:
                state.copy_weights(trainer.weights())
                stopped = not validation.run(step, trainer.agree, lambda: bool(received), callbacks)
            finished = is_over(trainer.config, step, validation)
            if step > state.step and (stopped or finished or is_due or unsaved > SAVE_SECONDS):
                state.save(step, trainer.weights())
                saved_at = time.monotonic()
            if stopped or finished:
                break
            left = (validation.next_step(step) if validation else trainer.config.num_steps) - step
            seconds = take_steps(trainer, iterator, step, min(count, left), callbacks)
            step += min(count, left)
            unsaved = time.monotonic() - saved_at
            asked, seconds, unsaved = trainer.agree(bool(received), seconds, unsaved)
            stopped = asked > 0
            count = next_count(count, seconds)
    if stopped and received == [signal.SIGINT]:
        raise KeyboardInterrupt
    return not stopped


def is_over(config: NetworkConfig, step: int, validation: Validation | None) -> bool:
    """Return whether nothing is left to do after `step` steps, validation included."""
    if validation is not None and validation.is_due(step):
        return False
    return step >= config.num_steps or (validation is not None and validation.has_stalled())


def take_steps(
    trainer: Trainer, iterator: Iterator, step: int, count: int, callbacks: keras.callbacks.CallbackList
) -> float:
    """Take the `count` steps after `step` and report them to the callbacks; return the seconds of one step."""
    start = time.monotonic()
    names, values = trainer.run(iterator, count)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise TrainingError(f"{names[bad[0, 1]]} is not finite at step {step + bad[0, 0] + 1}")
    for number, row in enumerate(values.tolist(), step + 1):
        callbacks.on_train_batch_end(number, dict(zip(names, row, strict=True)))
    callbacks.on_epoch_end(step + count, dict(zip(names, values.mean(axis=0).tolist(), strict=True)))
    return (time.monotonic() - start) / count


def next_count(count: int, seconds: float) -> int:
    """Return the steps of the next call: about CALL_SECONDS, at most twice as many as before."""
    return max(1, min(int(CALL_SECONDS / max(seconds, 1e-6)), 2 * count, MAX_CALL_STEPS))
