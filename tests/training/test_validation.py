"""Proves that validation scores exactly what kits-predict would write, and stops when it is asked to."""

import pathlib
import shutil

import numpy as np
import pytest

from kits_tf import models
from kits_tf.checkpoint import WEIGHTS_NAME
from kits_tf.data.records import find_records, from_volume, read_record, read_volume, restore, write_record
from kits_tf.errors import CancelledError, InputError
from kits_tf.evaluation.metrics import dice
from kits_tf.inference.segmenter import load_segmenter
from kits_tf.io.volume import Volume
from kits_tf.training.state import TrainingState
from kits_tf.training.strategies import ALONE, Worker
from kits_tf.training.validation import Validation
from tests.tiny import tiny_configs, write_checkpoint


@pytest.fixture(name="records", scope="module")
def two_records(prepared):
    return find_records(prepared)[:2]


@pytest.fixture(name="checkpoint", scope="module")
def generous_networks(tmp_path_factory):
    """Random networks whose last bias makes nearly everything foreground."""
    folder = tmp_path_factory.mktemp("checkpoint")
    configs = {name: tiny_configs()[name] for name in ("kidney_axial", "kidney_coronal", "tumor")}
    write_checkpoint(folder, configs)
    for name, config in configs.items():
        model = models.build(config)
        model.load_weights(folder / name / WEIGHTS_NAME)
        model.get_layer("logits").bias.assign([4.0])
        model.save_weights(folder / name / WEIGHTS_NAME)
    return folder


def validation_of(name, checkpoint, records, folder, kidney_masks=None, worker=ALONE):
    config = tiny_configs()[name]
    model = models.build(config)
    model.load_weights(checkpoint / name / WEIGHTS_NAME)
    return Validation(config, TrainingState(folder, {}, model), records, kidney_masks, worker)


def test_a_plane_is_scored_as_it_predicts(records, checkpoint, tmp_path):
    validation = validation_of("kidney_coronal", checkpoint, records, tmp_path)
    segmenter = load_segmenter(checkpoint, "tensorflow", ["coronal"], stage="kidney")
    expected = [predicted_dice(segmenter, path, 0) for path in records]
    assert validation.score_cases() == {"case_00000": expected[0], "case_00001": expected[1]}
    assert validation.name == "kidney_dice" and 0 < min(expected) < 1
    second = validation_of("kidney_coronal", checkpoint, records, tmp_path, worker=Worker(1, 2))
    assert second.score_cases() == {"case_00000": 0.0, "case_00001": expected[1]}


def test_the_tumor_is_scored_inside_the_labels_kidneys(records, checkpoint, tmp_path):
    validation = validation_of("tumor", checkpoint, records[:1], tmp_path, "labels")
    segmenter = load_segmenter(checkpoint, "tensorflow", stage="tumor")
    mask = restore(read_record(records[0]).label, read_record(records[0]), 0) > 0
    expected = predicted_dice(segmenter, records[0], 1, mask)
    assert validation.score_cases() == {"case_00000": expected} and 0 < expected < 1


def test_a_prepared_case_is_scored_as_its_ct_is_predicted(checkpoint, tmp_path):
    """The CT has a table and a few thin rows of belly, which the record does not."""
    hu = np.full((4, 40, 60), -1024, np.int16)
    hu[:, 10:31, 10:50] = np.random.default_rng(0).integers(0, 200, (4, 21, 40))
    hu[:, 35, 5:55] = 150
    hu[:, 9, 20:23] = 50
    labels = np.zeros(hu.shape, np.uint8)
    labels[:, 12:20, 15:40] = 1
    record = from_volume(Volume(hu, (5.0, 4.0, 4.0)), labels, "IPL")
    path = tmp_path / "case_00000.tfrecord"
    write_record(record, path)
    assert record.box == ((10, 31), (10, 50))
    segmenter = load_segmenter(checkpoint, "tensorflow", ["coronal"], stage="kidney")
    expected = segmenter.segment(hu, (5.0, 4.0, 4.0))
    scores = validation_of("kidney_coronal", checkpoint, [path], tmp_path).score_cases()
    assert scores["case_00000"] == dice(expected > 0, labels > 0)


def predicted_dice(segmenter, path, threshold, mask=None):
    volume, record = read_volume(path), read_record(path)
    labels = segmenter.run(volume.hu, volume.spacing_mm, mask=mask).labels
    return dice(labels > threshold, restore(record.label, record, 0) > threshold)


def test_it_stops_between_batches_of_slabs(records, checkpoint, tmp_path):
    answers = iter([False, False, True])
    with pytest.raises(CancelledError):
        validation_of("kidney_axial", checkpoint, records, tmp_path).score_cases(lambda: next(answers))
    assert next(answers, None) is None


def test_a_missing_prediction_is_found_at_the_start(records, checkpoint, tmp_path):
    label = pathlib.Path(records[0]).parents[2] / "raw" / "case_00000" / "segmentation.nii.gz"
    shutil.copy(label, tmp_path / "prediction_00000.nii.gz")
    validation_of("tumor", checkpoint, records[:1], tmp_path, str(tmp_path))
    with pytest.raises(InputError, match="prediction_00001.nii.gz: no such file"):
        validation_of("tumor", checkpoint, records, tmp_path, str(tmp_path))
