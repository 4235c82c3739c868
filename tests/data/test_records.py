"""Proves the round trip of a case through its record, in NumPy and in TensorFlow ops."""

import contextlib
import errno

import numpy as np
import pytest

from kits_tf.data import records
from kits_tf.data.records import (
    MAX_FOREGROUND,
    find_records,
    foreground_voxels,
    from_volume,
    is_prepared,
    raw,
    read_box,
    read_header,
    read_index,
    read_record,
    read_slices,
    read_volume,
    restore,
    to_int16,
    write_examples,
    write_record,
)
from kits_tf.errors import InputError
from kits_tf.io import volume
from tests import planted


@pytest.fixture(name="case")
def a_case():
    """A Volume with air around the body, float HU, an odd affine; and its labels."""
    hu = np.full((5, 40, 50), -1000.0, np.float32)
    hu[:, 10:31, 7:40] = np.random.default_rng(0).uniform(-100.4, 300.4, (5, 21, 33))
    labels = np.zeros(hu.shape, np.uint8)
    labels[1:3, 15:20, 10:20] = 1
    labels[2, 16, 12:15] = 2
    affine = volume.working_affine((3.0, 0.7, 0.8), origin=(11.0, -7.0, 3.5))
    return volume.Volume(hu, (3.0, 0.7, 0.8), affine), labels


def test_only_the_body_is_kept_and_everything_comes_back(case, tmp_path):
    ct, labels = case
    path = tmp_path / "case_00003.tfrecord"
    write_record(from_volume(ct, labels, "RAS"), path)
    record = read_record(path)
    assert record.image.shape == (5, 21, 33)
    assert record.box == read_box(path) == ((10, 31), (7, 40))
    assert record.middle_column == (7 + 40) // 2
    assert (record.full_shape, record.spacing_mm, record.orientation) == ((5, 40, 50), (3.0, 0.7, 0.8), "RAS")
    np.testing.assert_array_equal(record.image, np.round(ct.hu[:, 10:31, 7:40]))
    np.testing.assert_array_equal(restore(record.label, record, 0), labels)
    whole = read_volume(path)
    np.testing.assert_array_equal(whole.affine, ct.affine)
    body = np.zeros(ct.hu.shape, bool)
    body[:, 10:31, 7:40] = True
    assert (whole.hu[~body] == -1024).all()
    assert np.abs(whole.hu - ct.hu)[body].max() <= 0.5


def test_tensorflow_reads_what_numpy_reads(case, tmp_path):
    import tensorflow as tf

    path = tmp_path / "case_00003.tfrecord"
    write_record(from_volume(*case, "RAS"), path)
    record = read_record(path)
    header = tf.function(read_header)(tf.constant(str(path)))
    assert "middle_column" not in header  # which nothing needs
    for name in ("full_shape", "spacing_mm"):
        np.testing.assert_array_equal(header[name], getattr(record, name))
    np.testing.assert_array_equal(header["shape"], record.image.shape)
    np.testing.assert_array_equal(header["box"], [10, 31, 7, 40])
    np.testing.assert_array_equal(header["foreground"], np.argwhere(record.label > 0))


def test_records_of_before_name_a_middle_column_too(case, tmp_path, monkeypatch):
    import tensorflow as tf

    middle = {"middle_column": tf.train.Feature(int64_list=tf.train.Int64List(value=[23]))}
    write = write_examples

    def write_as_before(examples, path):
        write((example | middle if "box" in example else example for example in examples), path)

    monkeypatch.setattr(records, "write_examples", write_as_before)
    path = tmp_path / "case_00003.tfrecord"
    write_record(from_volume(*case, "RAS"), path)
    np.testing.assert_array_equal(read_header(str(path))["box"], [10, 31, 7, 40])
    assert read_record(path).box == ((10, 31), (7, 40))


@pytest.mark.parametrize("start, stop", [(0, 1), (0, 21), (7, 9), (8, 16), (15, 21), (20, 21)])
def test_slices_are_read_by_blocks(tmp_path, start, stop):
    """21 slices are three blocks, the last with three slices of air."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    hu, label = rng.integers(-1000, 1000, (21, 4, 5)).astype(np.int16), rng.integers(0, 3, (21, 4, 5)).astype(np.uint8)
    path = planted.write_record(tmp_path / "case_00000.tfrecord", hu, label)
    read = tf.function(read_slices)
    image, mask, first = read(tf.constant(str(path)), tf.constant(hu.shape), tf.constant(start), tf.constant(stop))
    blocks = range(start // 8, (stop - 1) // 8 + 1)
    assert int(first) == 8 * blocks[0] and image.shape == mask.shape == (8 * len(blocks), 4, 5)
    np.testing.assert_array_equal(image[start - first : stop - first], hu[start:stop])
    np.testing.assert_array_equal(mask[start - first : stop - first], label[start:stop])
    assert (image[21 - first :].numpy() == -1024).all() and not mask[21 - first :].numpy().any()


def test_an_earlier_format_is_told_apart(tmp_path):
    path = tmp_path / "case_00001.tfrecord"
    write_examples([{"image": raw(np.zeros(3), "<i2")}], path)
    with pytest.raises(InputError, match="earlier version"):
        read_record(path)
    folder = planted.prepared_folder(tmp_path, count=1)
    index = folder / "dataset.json"
    index.write_text(index.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(InputError, match="another version"):
        find_records(folder)


def test_a_full_disk_is_an_error_of_the_system_that_names_the_record(case, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "replacing", lambda path: contextlib.nullcontext("/dev/full"))
    with pytest.raises(OSError, match="No space left on device.*case_00003") as error:
        write_record(from_volume(*case, "RAS"), tmp_path / "case_00003.tfrecord")
    assert error.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    "name, code",
    [
        ("ResourceExhaustedError", errno.ENOSPC),
        ("PermissionDeniedError", errno.EACCES),
        ("UnavailableError", errno.EIO),
    ],
)
def test_errors_of_writing_become_those_of_the_system(tmp_path, monkeypatch, name, code):
    import tensorflow as tf

    def fail(path):
        raise getattr(tf.errors, name)(None, None, "cannot")

    monkeypatch.setattr(tf.io, "TFRecordWriter", fail)
    path = tmp_path / "case_00003.tfrecord"
    with pytest.raises(OSError) as error:
        write_examples([], path)
    assert (error.value.errno, error.value.filename) == (code, str(path))
    assert not list(tmp_path.iterdir())


def test_foreground_is_thinned_evenly():
    label = np.ones((10, 50, 40), np.uint8)
    voxels = foreground_voxels(label)
    assert voxels.shape == (MAX_FOREGROUND, 3)
    assert len(np.unique(voxels, axis=0)) == len(voxels)
    np.testing.assert_allclose(voxels.mean(axis=0), (4.5, 24.5, 19.5), atol=0.5)
    assert foreground_voxels(np.zeros((2, 3, 4), np.uint8)).shape == (0, 3)


def test_values_beyond_int16_are_kept_within():
    values = np.array([[[-1e6, 1e6, 0.5001, -0.5001]]], np.float32)
    np.testing.assert_array_equal(to_int16(values), [[[-32768, 32767, 1, -1]]])


@pytest.mark.parametrize("content", [b"", b"some text that is no record", None])
def test_damaged_records_are_named(tmp_path, content):
    path = tmp_path / "case_00001.tfrecord"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_record(path)
    assert error.value.path == str(path)


def test_a_prepared_folder_lists_its_records(tmp_path):
    folder = planted.prepared_folder(tmp_path, count=3, num_test=1)
    assert is_prepared(folder) and not is_prepared(tmp_path)
    everything = find_records(folder)
    assert [path.name for path in everything] == [f"case_0000{number}.tfrecord" for number in range(3)]
    training, test = (find_records(folder, split) for split in ("training", "test"))
    assert (len(training), len(test)) == (2, 1)
    assert sorted(training + test) == everything
    with pytest.raises(InputError):
        read_index(tmp_path)
