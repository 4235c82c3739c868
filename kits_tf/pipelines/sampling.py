"""The order of samples, as arithmetic on their position, so that a pipeline can start at any step.

A *visit* opens one case and draws a fixed number of samples from it, then lets the case go: memory is bounded by the
samples of the visits of two pools, one in use and one that waits, whatever the size of the cases. Visit v opens case
v mod n of the permutation of epoch v div n. Visits are taken in pools; the samples of a pool's visits take turns. With
P visits in a pool and K samples a visit, sample number i is the k-th of visit v, where

    pool = i div (P K),  k = (i mod P K) div P,  v = pool P + i mod P.

Worker w of W takes the samples with i mod W = w, which are those of the visits with v mod W = w since P is a multiple
of W: 8, or the least common multiple of 8 and W. Where W divides 8 the workers' batches together thus hold the very
samples of one worker's batch; for other W they hold those of one worker with that larger pool.
"""

import dataclasses
import math
import os

import tensorflow as tf

POOL = 8
FOREVER = 2**62


@dataclasses.dataclass(frozen=True)
class Order:
    """What the order of samples depends on.

    Attributes:
        num_cases: cases (or kidneys) to visit.
        per_visit: samples drawn at each visit.
        seed: of the permutations and of every draw.
        batch_size: samples of a step, over all workers.
        workers: how many workers share a step.
        worker: which of them this is.
    """

    num_cases: int
    per_visit: int
    seed: int
    batch_size: int
    workers: int = 1
    worker: int = 0

    @property
    def pool(self):
        """Visits of this worker in a pool."""
        return math.lcm(POOL, self.workers) // self.workers

    @property
    def worker_batch(self):
        """Samples of a step for this worker."""
        if self.batch_size % self.workers:
            raise ValueError(f"a batch of {self.batch_size} cannot be shared by {self.workers} workers")
        return self.batch_size // self.workers


def samples_from(order, step, visit):
    """The endless data set of one worker's samples, from a step on.

    Args:
        order: an Order.
        step: the step whose samples come first.
        visit: visit(case, seed) -> dict of tensors with a leading axis of `order.per_visit`; `case` is an int32
            scalar, `seed` an int32 [2] of this visit alone.

    Returns:
        tf.data.Dataset of dicts, one a sample.
    """
    samples_a_pool = order.pool * order.per_visit
    pools, skipped = divmod(step * order.worker_batch, samples_a_pool)
    numbers = tf.data.Dataset.range(pools * order.pool, FOREVER)
    opened = plain(lambda number: open_visit(order, number, visit))
    visits = numbers.map(opened, min(POOL, os.cpu_count()), deterministic=True).prefetch(order.pool)
    samples = visits.interleave(tf.data.Dataset.from_tensor_slices, cycle_length=order.pool, block_length=1)
    return samples.skip(skipped)


def visits_of_step(order, step):
    """The numbers of the visits that a step's samples come from, over all workers; see the module's formulas."""
    pool = order.pool * order.workers
    first = step * order.batch_size
    numbers = range(first, first + order.batch_size)
    return [i // (pool * order.per_visit) * pool + i % pool for i in numbers]


def case_and_seed(order, index):
    """What a visit is given: the case, int32, and the seed of its draws; `index` is its number over all workers."""
    epoch, position = index // order.num_cases, index % order.num_cases
    seed = tf.stack([tf.constant(order.seed, tf.int64), index])
    return permutation(order, epoch)[tf.cast(position, tf.int32)], fold(seed, 1)


def open_visit(order, number, visit):
    """Opens the visit of that number among this worker's visits."""
    return visit(*case_and_seed(order, number * order.workers + order.worker))


def permutation(order, epoch):
    """The order of the cases in an epoch: int32 [num_cases]."""
    seed = tf.stack([tf.constant(order.seed, tf.int64), epoch])
    return tf.argsort(uniform([order.num_cases], fold(seed, 0)), stable=True)


def plain(function):
    """The function, to be traced as it is: there is no Python branch on a tensor here, and AutoGraph takes seconds."""
    return tf.autograph.experimental.do_not_convert(function)


def fold(seed, number):
    """A seed, int32 [2], that depends on a seed [2] and a number."""
    return tf.cast(tf.random.fold_in(seed, number, alg="philox"), tf.int32)


def uniform(shape, seed):
    """Uniform numbers in [0, 1), the same on every device; XLA makes other floats than the CPU of the same bits."""
    return tf.cast(tf.bitwise.right_shift(bits(shape, seed), tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def bell(shape, seed):
    """Nearly normal numbers of mean 0 and standard deviation 1: sums of four random bytes, within 3.5 of 0.

    They take a fifth of the time of normal ones, which noise in every voxel would spend most of its time on.
    """
    numbers = bits(shape, seed)
    words = [tf.bitwise.right_shift(numbers, tf.constant(k, tf.uint32)) for k in (0, 8, 16, 24)]
    total = tf.add_n([tf.cast(tf.bitwise.bitwise_and(word, 255), tf.float32) for word in words])
    return (total - 4 * 127.5) / math.sqrt(4 * (256**2 - 1) / 12)


def bits(shape, seed):
    """Random uint32, the same on every device."""
    return tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg="philox")


def below(number, size):
    """A uniform number in [0, 1) as an int32 in [0, size)."""
    return tf.minimum(tf.cast(number * tf.cast(size, tf.float32), tf.int32), size - 1)
