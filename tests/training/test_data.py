"""Proves that the cases named for a step are those that its batch was drawn from."""

import tensorflow as tf

from kits_tf.pipelines import kidney, sampling, tumor
from kits_tf.training import data
from tests.training.tiny_runs import tiny_config

SOURCES = [{"path": f"folder/case_{n:05d}_left.tfrecord", "tumor": n % 3 == 0} for n in range(7)]


def drawn(config, redirect, steps):
    """The index of the source of every sample of some steps, from the pipeline's own order."""
    order = data.order_of(config, SOURCES, seed=4)

    def visit(case, seed):
        return {"index": tf.fill([order.per_visit], redirect(case, seed))}

    indices = [
        int(sample["index"]) for sample in sampling.samples_from(order, 0, visit).take(steps * order.batch_size)
    ]
    return [indices[first : first + order.batch_size] for first in range(0, len(indices), order.batch_size)]


def test_the_records_of_a_step():
    config, paths = tiny_config(batch_size=6), [sample["path"] for sample in SOURCES]
    order = data.order_of(config, paths, seed=4)
    for step, indices in enumerate(drawn(config, lambda case, seed: case, 20)):
        assert kidney.sources_of_step(paths, config, order, step) == [paths[index] for index in indices]


def test_the_kidneys_of_a_step_also_where_visits_go_to_tumors():
    config = tiny_config("tumor", batch_size=6, foreground_fraction=0.5)
    order = data.order_of(config, SOURCES, seed=4)

    def redirect(index, seed):
        return tumor.redirected(SOURCES, config, index, seed)

    for step, indices in enumerate(drawn(config, redirect, 12)):
        assert tumor.sources_of_step(SOURCES, config, order, step) == [SOURCES[index]["path"] for index in indices]


def test_cases_are_named_once_and_counted_from_step_one():
    config = tiny_config("tumor", batch_size=6, foreground_fraction=0.5)
    names = data.cases_of_step(config, SOURCES, 4, 1)
    order = data.order_of(config, SOURCES, seed=4)
    paths = tumor.sources_of_step(SOURCES, config, order, 0)
    assert set(names) == {path.split("/")[1].split(".")[0] for path in paths}
    assert len(names) == len(set(names))
