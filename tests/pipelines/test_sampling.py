"""Proves that the order of samples is the documented arithmetic, from any step and for any number of workers."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.pipelines import sampling
from kits_tf.pipelines.sampling import Order

ORDER = Order(num_cases=5, per_visit=3, seed=7, batch_size=4)


def visit(case, seed):
    """Samples that say where they come from: case, position in the visit, and a draw."""
    draws = tf.stack([sampling.uniform([], sampling.fold(seed, k)) for k in range(ORDER.per_visit)])
    return {"case": tf.fill([ORDER.per_visit], case), "k": tf.range(ORDER.per_visit), "draw": draws}


def take(order, step, count):
    """The first samples from a step on, as tuples."""
    samples = sampling.samples_from(order, step, visit).take(count)
    return [(int(s["case"]), int(s["k"]), float(s["draw"])) for s in samples.as_numpy_iterator()]


def test_samples_of_a_pool_take_turns_and_every_epoch_is_another_permutation():
    """Sample i is the k-th of visit v with the module's formulas, and visit v opens case v mod n of its epoch."""
    samples = take(ORDER, 0, 100)
    pool = sampling.POOL
    permutations = [tuple(sampling.permutation(ORDER, tf.constant(n, tf.int64)).numpy()) for n in range(10)]
    assert all(sorted(order) == list(range(5)) for order in permutations) and len(set(permutations)) > 4
    for i, (case, k, _) in enumerate(samples):
        group, within = divmod(i, pool * ORDER.per_visit)
        v = group * pool + within % pool
        assert k == within // pool
        assert case == permutations[v // 5][v % 5]


def test_samples_are_the_same_from_any_step_and_draw_differently():
    samples = take(ORDER, 0, 144)
    for step in (1, 6, 31):
        assert take(ORDER, step, 20) == samples[step * 4 : step * 4 + 20]
    draws = {draw for *_, draw in samples}
    assert len(draws) == 144
    assert not draws & {draw for *_, draw in take(dataclasses.replace(ORDER, seed=8), 0, 96)}


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_the_very_samples_of_one(workers):
    order = dataclasses.replace(ORDER, batch_size=12)
    orders = [dataclasses.replace(order, workers=workers, worker=worker) for worker in range(workers)]
    shares = [take(own, 2, 24 * 6 // workers) for own in orders]
    together = list(itertools.chain(*zip(*shares, strict=True)))
    if workers == 2:
        assert together == take(order, 2, len(together))
    assert len(set(together)) == len(together)


def test_below_is_uniform_and_stays_below():
    numbers = sampling.uniform([30000], sampling.fold(tf.constant([1, 2]), 3))
    found = np.bincount(sampling.below(numbers, 3), minlength=4)
    np.testing.assert_allclose(found[:3], 10000, rtol=0.03)
    assert found[3] == 0
    assert int(sampling.below(tf.constant(0.99999994), 2**24)) < 2**24


def test_bell_numbers_are_nearly_normal():
    numbers = sampling.bell([200, 500], sampling.fold(tf.constant([1, 2]), 3)).numpy()
    assert numbers.mean() == pytest.approx(0, abs=0.01) and numbers.std() == pytest.approx(1, abs=0.01)
    assert np.mean(np.abs(numbers) < 1) == pytest.approx(0.667, abs=0.01)  # of normal ones 0.683
    assert 3 < np.abs(numbers).max() < 3.5
