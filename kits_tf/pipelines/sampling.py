"""The order of samples as arithmetic on their position, so that a pipeline can start at any step.

A *visit* opens one case, draws a fixed number of samples from it and releases it: memory is bounded by the samples of
the visits of two pools, one in use and one prefetched, regardless of the size of the cases. Visit v opens case
v mod n of the permutation of epoch v div n. Visits are taken in pools; the samples of a pool's visits take turns. With
P visits in a pool and K samples a visit, sample number i is the k-th of visit v, where

    pool = i div (P K),  k = (i mod P K) div P,  v = pool P + i mod P.

Worker w of W takes the samples with i mod W = w, which are those of the visits with v mod W = w since P is a multiple
of W: 8, or the least common multiple of 8 and W. If W divides 8, the workers' batches together thus hold exactly the
samples of a single worker's batch; for other W, those of a single worker with the larger pool.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Sequence

import tensorflow as tf

POOL = 8
FOREVER = 2**62


@dataclasses.dataclass(frozen=True)
class Order:
    """What the order of samples depends on."""

    num_cases: int  # cases (or kidneys) to visit
    per_visit: int  # samples drawn at each visit
    seed: int  # of the permutations and of every draw
    batch_size: int  # samples of a step, over all workers
    workers: int = 1  # that share a step
    worker: int = 0  # index of this one

    @property
    def pool(self) -> int:
        """Number of this worker's visits in a pool."""
        return math.lcm(POOL, self.workers) // self.workers

    @property
    def worker_batch(self) -> int:
        """Number of this worker's samples in a step."""
        if self.batch_size % self.workers:
            raise ValueError(f"batch_size must be a multiple of {self.workers} workers, got {self.batch_size}")
        return self.batch_size // self.workers


def samples_from(
    order: Order, step: int, visit: Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]
) -> tf.data.Dataset:
    """Return the endless data set of one worker's samples, dicts of tensors, from a step on.

    Args:
        order: The order.
        step: The step whose samples come first.
        visit: Returns the samples of a case (int32 scalar) for a seed of this visit (int32 [2]), as tensors with a
            leading axis of `order.per_visit`.
    """
    pools, skipped = divmod(step * order.worker_batch, order.pool * order.per_visit)
    numbers = tf.data.Dataset.range(pools * order.pool, FOREVER)
    opened = plain(lambda number: open_visit(order, number, visit))
    visits = numbers.map(opened, min(POOL, os.cpu_count() or 1), deterministic=True).prefetch(order.pool)
    samples = visits.interleave(tf.data.Dataset.from_tensor_slices, cycle_length=order.pool, block_length=1)
    return samples.skip(skipped)


def open_visit(
    order: Order, number: tf.Tensor, visit: Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]
) -> dict[str, tf.Tensor]:
    """Return the samples of a visit, given its number (int64) among this worker's visits."""
    index = number * order.workers + order.worker
    epoch, position = index // order.num_cases, index % order.num_cases
    seed = tf.stack([tf.constant(order.seed, tf.int64), index])
    return visit(permutation(order, epoch)[tf.cast(position, tf.int32)], fold(seed, 1))


def permutation(order: Order, epoch: tf.Tensor) -> tf.Tensor:
    """Return the order of the cases in an epoch: int32 [num_cases]."""
    seed = tf.stack([tf.constant(order.seed, tf.int64), epoch])
    return tf.argsort(uniform([order.num_cases], fold(seed, 0)), stable=True)


def plain(function: Callable) -> Callable:
    """Exempt a function from AutoGraph, which takes seconds and is only needed for branches on tensors."""
    return tf.autograph.experimental.do_not_convert(function)


def fold(seed: tf.Tensor, number: int) -> tf.Tensor:
    """Return a seed, int32 [2], that depends on a seed [2] and a number."""
    return tf.cast(tf.random.fold_in(seed, number, alg="philox"), tf.int32)


def uniform(shape: Sequence[int] | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return uniform numbers in [0, 1), the same on every device; XLA's own floats differ from the CPU's."""
    return tf.cast(tf.bitwise.right_shift(_bits(shape, seed), tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def bell(shape: Sequence[int] | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return nearly normal numbers of mean 0 and standard deviation 1: sums of four random bytes, within 3.5 of 0.

    They need a fifth of the time of normal numbers, which would dominate the time of noise.
    """
    numbers = _bits(shape, seed)
    words = [tf.bitwise.right_shift(numbers, tf.constant(k, tf.uint32)) for k in (0, 8, 16, 24)]
    total = tf.add_n([tf.cast(tf.bitwise.bitwise_and(word, 255), tf.float32) for word in words])
    return (total - 4 * 127.5) / math.sqrt(4 * (256**2 - 1) / 12)


def _bits(shape: Sequence[int] | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return random uint32, the same on every device."""
    return tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg="philox")


def below(number: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Return a uniform number in [0, 1) as an int32 in [0, size)."""
    return tf.minimum(tf.cast(number * tf.cast(size, tf.float32), tf.int32), size - 1)
