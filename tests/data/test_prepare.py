"""Proves that a whole folder is judged rightly, that an interrupted run is resumed, and what dataset.json says."""

import json
import shutil

import numpy as np
import pytest

from kits_tf.data import kits19
from kits_tf.data import prepare as preparation
from kits_tf.data.splits import Split
from kits_tf.errors import InputError
from tests import planted
from tests.data import faults


def prepare(folder, **options):
    """Prepares `folder / "raw"` for training alone; returns the ids of the cases left out, and the report."""
    lines = []
    cases = kits19.find_cases(folder / "raw")
    found = preparation.prepare(cases, folder / "out", Split(0, 0), report=lines.append, **options)
    return [finding.case for finding in found], list(map(str, lines))


def prepared_cases(folder):
    return [case["id"] for case in json.loads((folder / "out" / "dataset.json").read_text())["cases"]]


def records(folder):
    return sorted(path.stem for path in (folder / "out").rglob("*.tfrecord"))


def test_changed_cases_and_damaged_records_are_done_again(tmp_path):
    folders = [planted.write_case(tmp_path / "raw", number) for number in range(3)]
    faults.FAULTS["constant"][0](folders[1])
    assert prepare(tmp_path)[0] == ["case_00001"] and records(tmp_path) == ["case_00000", "case_00002"]
    shutil.rmtree(folders[1])
    planted.write_case(tmp_path / "raw", 1)
    faults.FAULTS["NaN"][0](folders[2])
    (tmp_path / "out" / "cases" / "case_00000.tfrecord").write_bytes(b"truncated")
    left_out, lines = prepare(tmp_path)
    lines = [line for line in lines if "warning" not in line]
    words = [("case_00000", "kidney"), ("case_00001", "kidney"), ("case_00002", "NaN")]
    assert all(one in line and two in line for (one, two), line in zip(words, lines, strict=True))
    assert left_out == ["case_00002"]
    assert prepared_cases(tmp_path) == records(tmp_path) == ["case_00000", "case_00001"]


def test_a_copy_is_used_once_the_other_is_gone(tmp_path):
    folder = planted.write_case(tmp_path / "raw", 0)
    shutil.copytree(folder, tmp_path / "raw" / "case_00001")
    assert prepare(tmp_path)[0] == ["case_00001"] and prepared_cases(tmp_path) == ["case_00000"]
    shutil.rmtree(folder)
    assert prepare(tmp_path) == ([], [])
    assert prepared_cases(tmp_path) == ["case_00001"]


def test_an_interrupted_run_is_resumed(tmp_path, monkeypatch):
    """It ends before the third of four records; the next run keeps two and writes the others."""
    for number in range(4):
        planted.write_case(tmp_path / "raw", number)
    out, write = tmp_path / "out", preparation.records.write_record
    with monkeypatch.context() as patch:
        patch.setattr(preparation.records, "write_record", lambda *a: records(tmp_path)[1:] and 1 / 0 or write(*a))
        with pytest.raises(ZeroDivisionError):
            prepare(tmp_path)
    done = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    assert len(done) == 4 and not (out / "dataset.json").exists()
    (out / "cases" / ".writing-1-case_00003.tfrecord").write_bytes(b"half, by a killed run")
    assert len(prepare(tmp_path)[1]) == 2
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in done.items())
    assert prepared_cases(tmp_path) == records(tmp_path) == [kits19.case_name(number) for number in range(4)]


def test_a_case_that_changes_after_its_strict_check_is_not_listed(tmp_path):
    folder = planted.write_case(tmp_path / "raw", 0)
    cases = kits19.find_cases(tmp_path / "raw")

    def damage(line):
        (folder / kits19.LABEL_NAME).write_bytes(b"no gzip stream")

    with pytest.raises(InputError, match="segmentation.nii.gz: has changed since it was checked"):
        preparation.prepare(cases, tmp_path / "out", Split(0, 0), strict=True, report=damage)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_percentiles_are_those_of_the_voxels():
    rng = np.random.default_rng(0)
    hu = rng.normal(50, 300, (6, 30, 40)).astype(np.int16)
    labels = rng.integers(0, 3, hu.shape).astype(np.uint8)
    found = preparation.hu_percentiles(hu, labels)
    for region, mask in {"kidney": labels == 1, "tumor": labels == 2, "foreground": labels > 0}.items():
        values = np.sort(hu[mask])
        expected = [int(values[int(np.ceil(share / 100 * len(values))) - 1]) for share in preparation.PERCENTILES]
        assert found[region] == expected
    found = preparation.hu_percentiles(np.zeros((1, 2, 2), np.int16), np.ones((1, 2, 2), np.uint8))
    assert found["tumor"] is None and found["kidney"] == [0] * 5
