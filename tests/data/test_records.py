"""Proves the round trip of a case through its record, in NumPy and in TensorFlow ops, from disk and bucket."""

import numpy as np
import pytest

from kits_tf import geometry
from kits_tf.data import records
from kits_tf.errors import InputError
from kits_tf.io import volume
from tests import planted


def test_only_the_body_is_kept_and_everything_comes_back(tmp_path):
    """Of a CT with air around the body, float HU and an odd affine."""
    import tensorflow as tf

    hu = np.full((5, 40, 50), -1000.0, np.float32)
    hu[:, 10:31, 7:40] = np.random.default_rng(0).uniform(-100.4, 300.4, (5, 21, 33))
    labels = np.zeros(hu.shape, np.uint8)
    labels[1:3, 15:20, 10:20] = 1
    labels[2, 16, 12:15] = 2
    affine = volume.working_affine((3.0, 0.7, 0.8), origin=(11.0, -7.0, 3.5))
    ct = volume.Volume(hu, (3.0, 0.7, 0.8), affine)
    path = tmp_path / "case_00003.tfrecord"
    records.write_record(records.from_volume(ct, labels, "RAS"), path)
    record = records.read_record(path)
    assert record.image.shape == (5, 21, 33)
    assert record.box == ((10, 31), (7, 40)) == geometry.body_box(records.read_volume(path).hu, ct.spacing_mm)
    assert (record.full_shape, record.spacing_mm, record.orientation) == ((5, 40, 50), (3.0, 0.7, 0.8), "RAS")
    assert record.voxel_ml == pytest.approx(3.0 * 0.7 * 0.8 / 1000)
    np.testing.assert_array_equal(record.image, np.round(ct.hu[:, 10:31, 7:40]))
    np.testing.assert_array_equal(records.restore(record.label, record, 0), labels)
    whole = records.read_volume(path)
    np.testing.assert_array_equal(whole.affine, ct.affine)
    body = np.zeros(ct.hu.shape, bool)
    body[:, 10:31, 7:40] = True
    assert (whole.hu[~body] == -1024).all() and np.abs(whole.hu - ct.hu)[body].max() <= 0.5
    header = tf.function(records.read_header)(tf.constant(str(path)))
    expected = {"shape": (5, 21, 33), "full_shape": (5, 40, 50), "box": (10, 31, 7, 40), "spacing_mm": (3.0, 0.7, 0.8)}
    for name, values in (expected | {"foreground": np.argwhere(record.label > 0)}).items():
        np.testing.assert_array_equal(header[name], values)


@pytest.mark.parametrize("start, stop", [(0, 21), (7, 9), (8, 16), (20, 21)])
def test_slices_are_read_by_blocks(tmp_path, start, stop):
    """21 slices are three blocks, the last with three slices of air."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    hu, label = rng.integers(-1000, 1000, (21, 4, 5)).astype(np.int16), rng.integers(0, 3, (21, 4, 5)).astype(np.uint8)
    path = planted.write_record(tmp_path / "case_00000.tfrecord", hu, label)
    read = tf.function(records.read_slices)
    image, mask, first = read(tf.constant(str(path)), tf.constant(hu.shape), tf.constant(start), tf.constant(stop))
    blocks = range(start // 8, (stop - 1) // 8 + 1)
    assert int(first) == 8 * blocks[0] and image.shape == mask.shape == (8 * len(blocks), 4, 5)
    np.testing.assert_array_equal(image[start - first : stop - first], hu[start:stop])
    np.testing.assert_array_equal(mask[start - first : stop - first], label[start:stop])
    assert (image[21 - first :].numpy() == -1024).all() and not mask[21 - first :].numpy().any()


def test_errors_of_writing_name_the_record(tmp_path, monkeypatch):
    import tensorflow as tf

    def fail(path):
        raise tf.errors.ResourceExhaustedError(None, None, "/a/temporary/name; No space left")

    monkeypatch.setattr(tf.io, "TFRecordWriter", fail)
    with pytest.raises(OSError, match="No space left") as error:
        records.write_examples([], tmp_path / "case_00003.tfrecord")
    assert error.value.filename == str(tmp_path / "case_00003.tfrecord") and not list(tmp_path.iterdir())


def test_foreground_is_thinned_evenly():
    voxels = records.foreground_voxels(np.ones((10, 50, 40), np.uint8))
    assert voxels.shape == (records.MAX_FOREGROUND, 3)
    assert len(np.unique(voxels, axis=0)) == len(voxels)
    np.testing.assert_allclose(voxels.mean(axis=0), (4.5, 24.5, 19.5), atol=0.5)
    assert records.foreground_voxels(np.zeros((2, 3, 4), np.uint8)).shape == (0, 3)


def test_values_beyond_int16_are_clipped():
    values = np.array([[[-1e6, 1e6, 0.5001, -0.5001]]], np.float32)
    np.testing.assert_array_equal(records.to_int16(values), [[[-32768, 32767, 1, -1]]])


@pytest.mark.parametrize("content", [b"", b"some text that is no record", None])
def test_damaged_records_are_named(tmp_path, content):
    path = tmp_path / "case_00001.tfrecord"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="not a prepared case") as error:
        records.read_record(path)
    assert error.value.path == str(path) and "{{" not in str(error.value)


@pytest.fixture(name="folders", scope="module")
def local_and_remote(tmp_path_factory):
    """One prepared folder on the disk and in TensorFlow's file system in memory, which is addressed like a bucket."""
    import tensorflow as tf

    local = planted.prepared_folder(tmp_path_factory.mktemp("records"), count=3, num_test=1)
    remote = "ram://bucket/prepared"
    for path in local.rglob("*.*"):
        target = f"{remote}/{path.relative_to(local).as_posix()}"
        tf.io.gfile.makedirs(target.rpartition("/")[0])
        tf.io.gfile.copy(str(path), target)
    return str(local), remote


@pytest.mark.parametrize("place", [0, 1], ids=["disk", "bucket"])
def test_a_prepared_folder_lists_its_records(folders, place):
    folder = folders[place]
    assert records.is_prepared(folder) and not records.is_prepared(f"{folder}/cases")
    everything = records.find_records(folder)
    assert everything == [f"{folder}/cases/case_0000{number}.tfrecord" for number in range(3)]
    assert all(records.is_file(path) and records.is_record(path) for path in everything)
    assert [records.case_of(path) for path in everything] == ["case_00000", "case_00001", "case_00002"]
    training, test = (records.find_records(folder, split) for split in ("training", "test"))
    assert (len(training), len(test)) == (2, 1) and sorted(training + test) == everything
    local = records.read_record(f"{folders[0]}/cases/case_00001.tfrecord")
    np.testing.assert_array_equal(records.read_record(everything[1]).image, local.image)


@pytest.mark.parametrize(
    "content, word",
    [(None, "no such file"), ("{}", "not written"), ('{"format": 1, "cases": []}', "another version")],
)
@pytest.mark.parametrize("remote", [False, True], ids=["disk", "bucket"])
def test_unusable_folders_are_named(tmp_path, content, word, remote):
    import tensorflow as tf

    folder = f"ram://bucket/{tmp_path.name}" if remote else str(tmp_path)
    if content is not None:
        tf.io.gfile.makedirs(folder)
        with tf.io.gfile.GFile(f"{folder}/dataset.json", "w") as file:
            file.write(content)
    with pytest.raises(InputError, match=word) as error:
        records.find_records(folder)
    assert error.value.path == f"{folder}/dataset.json"
