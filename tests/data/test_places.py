"""Proves that prepared data are read from an address: from TensorFlow's own file system in memory, ram://."""

import dataclasses
import pathlib

import numpy as np
import pytest

from kits_tf.config import preset
from kits_tf.data import places
from kits_tf.data.records import find_records, is_prepared, read_index, read_record
from kits_tf.data.stage_inputs import kidney_samples, working_records
from kits_tf.errors import InputError
from kits_tf.pipelines import kidney
from kits_tf.pipelines.sampling import Order
from tests import planted


@pytest.fixture(name="folders", scope="module")
def local_and_remote(tmp_path_factory):
    """The same prepared folder on the disk and in memory."""
    import tensorflow as tf

    local = planted.prepared_folder(tmp_path_factory.mktemp("places"), count=2)
    remote = "ram://bucket/prepared"
    for path in local.rglob("*"):
        if path.is_file():
            target = f"{remote}/{path.relative_to(local).as_posix()}"
            tf.io.gfile.makedirs(target.rpartition("/")[0])
            tf.io.gfile.copy(str(path), target)
    return local, remote


def test_addresses_are_told_from_paths():
    assert places.place("a/b") == pathlib.Path("a/b")
    address = places.place("gs://bucket/prepared/")
    assert str(address / "cases" / "case_00001.tfrecord") == "gs://bucket/prepared/cases/case_00001.tfrecord"
    assert (address / "cases").name == "cases" and places.place(address) is address
    assert str((address / "cases").parent) == "gs://bucket/prepared"


def test_the_index_and_the_records_are_those_of_the_disk(folders):
    local, remote = folders
    assert is_prepared(remote) and not is_prepared("ram://bucket/elsewhere")
    assert read_index(remote) == read_index(local)
    ours, theirs = find_records(local), find_records(remote)
    assert [path.name for path in ours] == [path.name for path in theirs]
    for own, other in zip(ours, theirs, strict=True):
        assert other.is_file() and other.stat().st_size == own.stat().st_size
        np.testing.assert_array_equal(read_record(other).image, read_record(own).image)


def test_what_is_missing_is_named():
    with pytest.raises(InputError) as error:
        read_index("ram://bucket/nothing")
    assert error.value.path == "ram://bucket/nothing/dataset.json"


def test_batches_are_those_of_the_disk(folders):
    options = {"patch_rows": 32, "patch_columns": 32, "augment": False}
    config = dataclasses.replace(preset("best", "kidney", "axial"), **options)
    order = Order(num_cases=2, per_visit=4, seed=0, batch_size=2)
    drawn = [
        list(kidney.samples(working_records(find_records(folder), config), config, order).take(6))
        for folder in folders
    ]
    for first, second in zip(*drawn, strict=True):
        np.testing.assert_array_equal(first["slab"], second["slab"])


def test_records_are_resized_and_kidneys_cut_from_an_address(folders, tmp_path):
    config = dataclasses.replace(preset("small", "kidney", "axial"), inplane_mm=8.0, slice_mm=10.0)
    made = [working_records(find_records(folder), config, str) for folder in folders]
    for own, other in zip(*made, strict=True):
        np.testing.assert_array_equal(read_record(other).image, read_record(own).image)
    lines = []
    working_records(find_records(folders[1]), config, lines.append)
    assert lines == []
    config = dataclasses.replace(preset("small", "tumor"), grid=16)
    samples = kidney_samples(find_records(folders[1]), config, "labels", tmp_path, str)
    assert len(samples) == 4
