"""Proves that the cases named for a step are those that its batch was drawn from, and what tells data apart."""

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.data.records import read_index
from kits_tf.data.stage_inputs import case_of, mask_path, read_sample, write_sample
from kits_tf.pipelines import kidney, sampling, tumor
from kits_tf.training import data
from tests import planted
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


@pytest.mark.parametrize("workers", [2, 3])
def test_the_cases_of_a_step_of_several_workers(workers):
    config, paths = tiny_config(batch_size=6), [sample["path"] for sample in SOURCES]
    named = data.cases_of_step(config, paths, 4, 3, workers)
    seen = set()
    for worker in range(workers):
        order = data.order_of(config, paths, 4, workers, worker)

        def visit(case, seed, order=order):
            return {"case": tf.fill([order.per_visit], case)}

        samples = sampling.samples_from(order, 2, visit).take(order.worker_batch).as_numpy_iterator()
        seen |= {case_of(paths[int(sample["case"])]) for sample in samples}
    assert set(named) == seen


@pytest.fixture(name="folder", scope="module")
def prepared_folder(tmp_path_factory):
    return planted.prepared_folder(tmp_path_factory.mktemp("data"), count=2)


def test_other_kidney_masks_are_other_data(folder, tmp_path):
    """Masks of another content, whatever their names and times; those of the test split do not matter."""
    cases = [case["id"] for case in read_index(folder)["cases"]]
    for number, case in enumerate(cases):
        mask_path(tmp_path, case).write_bytes(b"mask %d" % number)
    before = data.digest(folder, str(tmp_path))
    mask_path(tmp_path, cases[0]).write_bytes(b"mask 0")
    mask_path(tmp_path, "case_00077").write_bytes(b"of no case")
    assert data.digest(folder, str(tmp_path)) == before
    mask_path(tmp_path, cases[0]).write_bytes(b"found anew")
    assert len({before, data.digest(folder, str(tmp_path)), data.digest(folder, "labels")}) == 3


def test_a_smaller_kidney_is_padded_with_air_far_from_any_tumor(folder, tmp_path):
    """Kidneys on their native grids have different sizes; the larger one of a batch sets its shape."""
    config = tiny_config("tumor", batch_size=4, grid=0, regression="signed_distance", max_distance_mm=13.0)
    sources = data.training_sources(config, folder, tmp_path)
    for source in sources[1::2]:
        arrays = {name: array.numpy() for name, array in read_sample(str(source["path"]), True).items()}
        tumor_ml, spacing_mm = float(arrays.pop("tumor_ml")), arrays.pop("spacing_mm")
        smaller = {name: array[:-2, :-4, :-4] for name, array in arrays.items()}
        write_sample(smaller, tumor_ml, spacing_mm, source["path"])
    batch = next(iter(data.batches(config, sources, 0, 0, tf.distribute.InputContext())))
    image, label, distance_mm = (batch[name].numpy()[:, -1, -1, -1, 0] for name in ("image", "label", "distance_mm"))
    assert len(image) == 4 and not image.any() and not label.any()
    np.testing.assert_array_equal(distance_mm, 13.0 / (1 - config.max_scaling))
