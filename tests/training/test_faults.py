"""Proves that memory that does not suffice and records that cannot be read end training with a line."""

import pytest
import tensorflow as tf

from kits_tf.data.stage_inputs import kidney_samples
from kits_tf.training import faults, loop, run
from tests import planted
from tests.training.tiny_runs import tiny_config, train


@pytest.fixture(name="data")
def prepared_data(tmp_path):
    return planted.prepared_folder(tmp_path, count=1)


def damage(path):
    """Cuts a file in the middle."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def end_of_training(data, folder, network="kidney_axial", **machine):
    """What kits-train says of a run that ends before its time."""
    with pytest.raises(run.TrainingError) as error:
        train(data, folder, tiny_config(network), deterministic=False, **machine)
    return str(error.value)


@pytest.mark.parametrize("tensorboard", [False, True])  # which looks at a sample before training begins
def test_a_damaged_record_is_named(data, tmp_path, tensorboard):
    record = data / "cases" / "case_00000.tfrecord"
    damage(record)
    said = end_of_training(data, tmp_path / "out", tensorboard=tensorboard)
    assert said.startswith(f"{tmp_path}/out/kidney_axial: {record}: is not a prepared case (")
    assert "; remove it and run kits-prepare again; " in said and "\n" not in said
    assert said.endswith("; the start (no state is saved yet) is the last good one")


def test_a_damaged_sample_of_the_tumor_network_is_named(data, tmp_path):
    record, folder = data / "cases" / "case_00000.tfrecord", tmp_path / "out" / "tumor" / "samples"
    _, sample = kidney_samples([record], tiny_config("tumor"), "labels", folder)
    damage(sample["path"])
    said = end_of_training(data, tmp_path / "out", "tumor")
    assert str(sample["path"]) in said and "{{" not in said and "[Op" not in said


def fail_with(monkeypatch, error):
    def fail(trainer, iterator, count):
        raise error

    monkeypatch.setattr(loop.Trainer, "run", fail)


@pytest.mark.parametrize(
    "message, said",
    [
        ("OOM when allocating tensor with shape[8,96,96,96,16]", "smaller --batch_size, or --set=accumulation=N"),
        ("kidney_axial/tensorboard/events; No space left on device", ": No space left on device; "),
    ],
)
def test_what_is_exhausted(data, tmp_path, monkeypatch, message, said):
    fail_with(monkeypatch, tf.errors.ResourceExhaustedError(None, None, message))
    assert said in end_of_training(data, tmp_path / "out")


def test_the_programs_own_faults_are_not_blamed_on_the_data(data, tmp_path, monkeypatch):
    fail_with(monkeypatch, tf.errors.InvalidArgumentError(None, None, "Incompatible shapes: [2,3] vs. [3,2]"))
    with pytest.raises(tf.errors.InvalidArgumentError):
        train(data, tmp_path / "out", deterministic=False)


def test_records_that_can_be_read_again(data):
    """A network share that was away for a moment."""
    error = tf.errors.NotFoundError(
        None, None, "{{function_node __wrapped__IteratorGetNext}} a.tfrecord; gone [Op:Itera"
    )
    record = data / "cases" / "case_00000.tfrecord"
    said = faults.explain(error, tiny_config(), data, [record])
    assert said == f"{data}: a.tfrecord; gone; run kits-prepare again"
    record.unlink()
    assert faults.explain(error, tiny_config(), data, [record]).startswith(f"{record}: is not a prepared case (")
