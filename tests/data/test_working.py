"""Proves that training sees the working grid that prediction makes."""

import dataclasses

import numpy as np

from kits_tf import geometry
from kits_tf.config import preset
from kits_tf.data.records import find_records, read_record
from kits_tf.data.stage_inputs import resized, working_records
from tests import planted

CONFIG = dataclasses.replace(preset("small", "kidney", "axial"), inplane_mm=6.0, slice_mm=0.0)


def test_the_image_is_predictions_and_the_label_follows(tmp_path):
    folder = planted.prepared_folder(tmp_path, count=1)
    [source] = find_records(folder)
    [target] = working_records([source], CONFIG)
    record, resized = read_record(source), read_record(target)
    sizes = [round(size * 4.0 / 6.0) for size in record.image.shape[1:]]
    assert resized.image.shape == (12, *sizes) == resized.full_shape
    assert np.abs(resized.image - geometry.resized(record.image, (12, *sizes), geometry.clipped)).max() <= 0.5
    for axis, size in zip((1, 2), sizes, strict=True):
        assert resized.spacing_mm[axis] == record.spacing_mm[axis] * record.image.shape[axis] / size
    before, after = (np.count_nonzero(r.label) * np.prod(r.spacing_mm) for r in (record, resized))
    assert set(np.unique(resized.label)) == {0, 1}
    np.testing.assert_allclose(after, before, rtol=0.05)


def test_whole_slices_are_restored_where_the_body_box_is_off(tmp_path):
    path = tmp_path / "cases" / "case_00000.tfrecord"
    image = np.full((2, 20, 30), 100, np.int16)
    planted.write_record(path, image, np.zeros(image.shape, np.uint8), full_shape=(2, 40, 60), corner=(12, 18))
    whole = resized(read_record(path), dataclasses.replace(CONFIG, inplane_mm=2.0, body_box=False))
    assert whole.image.shape == (2, 20, 30)
    assert whole.image[0, 0, 0] == -1024 and whole.image[0, 10, 15] == 100


def test_slices_are_resized_where_the_config_asks_for_it(tmp_path):
    [source] = find_records(planted.prepared_folder(tmp_path, count=1))
    record = read_record(source)
    found = resized(record, dataclasses.replace(CONFIG, slice_mm=record.spacing_mm[0] / 2))
    assert found.image.shape[0] == 2 * record.image.shape[0]
    assert found.spacing_mm[0] == record.spacing_mm[0] / 2
    assert {p.parent.name for p in working_records([source], dataclasses.replace(CONFIG, slice_mm=2.5))} == {
        "2.5x6mm_body"
    }


def test_records_are_made_once_and_anew_when_their_source_is_newer(tmp_path):
    folder = planted.prepared_folder(tmp_path, count=2)
    sources, lines = find_records(folder), []
    targets = working_records(sources, CONFIG, lines.append)
    assert len(lines) == 1
    assert working_records(sources, CONFIG, lines.append) == targets
    assert len(lines) == 1
    import os

    os.utime(sources[0], ns=(2**62, 2**62))
    working_records(sources, CONFIG, lines.append)
    assert lines[1:] == ["resizing 1 cases to 6 mm pixels, once"]


def test_native_grids_need_no_records(tmp_path):
    native = dataclasses.replace(CONFIG, inplane_mm=0.0)
    assert working_records(["a"], native) == ["a"]
