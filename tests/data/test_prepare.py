"""Proves that a whole folder is judged rightly, that nothing is written before, and that a killed run is taken up."""

import json
import shutil
import signal
import subprocess
import sys

import pytest

from kits_tf.data import kits19
from kits_tf.data import prepare as preparation
from kits_tf.errors import UsageError
from tests import planted
from tests.data import faults

ALL_TRAINING = preparation.Split(0, 0)


def prepare(folder, **options):
    """Prepares `folder / "raw"`; returns the findings and the lines of the report."""
    lines = []
    cases = kits19.find_cases(folder / "raw")
    found = preparation.prepare(cases, folder / "out", ALL_TRAINING, report=lines.append, complain=str, **options)
    return found, lines


def prepared_cases(folder):
    return [case["id"] for case in json.loads((folder / "out" / "dataset.json").read_text())["cases"]]


def records(folder):
    return sorted(path.stem for path in (folder / "out").rglob("*.tfrecord"))


def test_every_fault_of_a_folder_is_found_and_nothing_fine_accused(tmp_path):
    """Good cases first, then odd but fine ones, then one of each fault, a copied case and a copied label file."""
    changes = [None, None, *faults.FINE, *(fault for fault, _, _ in faults.FAULTS)]
    folders = [planted.write_case(tmp_path / "raw", number) for number in range(len(changes))]
    for change, folder in zip(changes, folders, strict=True):
        if change is not None:
            change(folder)
    twin, mixed = (tmp_path / "raw" / kits19.case_name(len(changes) + k) for k in range(2))
    shutil.copytree(folders[0], twin)
    planted.write_case(tmp_path / "raw", len(changes) + 1)
    shutil.copy(folders[1] / kits19.LABEL_NAME, mixed / kits19.LABEL_NAME)
    fine = [folder.name for folder in folders[: 2 + len(faults.FINE)]]

    found, _ = prepare(tmp_path)
    expected = {folder.name: fault for folder, fault in zip(folders[len(fine) :], faults.FAULTS, strict=True)}
    expected |= {
        twin.name: (None, kits19.IMAGE_NAME, "same image"),
        mixed.name: (None, kits19.LABEL_NAME, "same labels"),
    }
    assert sorted(finding.case for finding in found) == sorted(expected)
    for finding in found:
        _, file, word = expected[finding.case]
        assert finding.path == str(tmp_path / "raw" / finding.case / file)
        assert word in finding.reason and finding.remedy
    assert prepared_cases(tmp_path) == records(tmp_path) == fine


def test_nothing_is_written_before_all_are_checked(tmp_path):
    for number in range(3):
        planted.write_case(tmp_path / "raw", number)
    faults.constant_image(tmp_path / "raw" / "case_00002")
    written = []

    def report(line):
        written.append((line, (tmp_path / "out").exists()))

    cases = kits19.find_cases(tmp_path / "raw")
    preparation.prepare(cases, tmp_path / "out", ALL_TRAINING, report=report, complain=report)
    checked = next(k for k, (line, _) in enumerate(written) if str(line).endswith(": written"))
    assert checked == 4 and not any(exists for _, exists in written[:checked])


def test_findings_are_remembered_until_the_files_change(tmp_path):
    for number in range(3):
        planted.write_case(tmp_path / "raw", number)
    bad = tmp_path / "raw" / "case_00001"
    faults.constant_image(bad)
    found, lines = prepare(tmp_path)
    assert [finding.case for finding in found] == ["case_00001"] and len(lines) == 5
    assert prepare(tmp_path) == (found, [])
    shutil.rmtree(bad)
    planted.write_case(tmp_path / "raw", 1)
    found, lines = prepare(tmp_path)
    assert found == [] and {line.split(":")[0] for line in lines} == {"case_00001"}
    assert prepared_cases(tmp_path) == records(tmp_path)


def test_a_record_of_files_that_went_bad_is_removed(tmp_path):
    for number in range(2):
        planted.write_case(tmp_path / "raw", number)
    prepare(tmp_path)
    faults.nan_in_image(tmp_path / "raw" / "case_00000")
    prepare(tmp_path)
    assert prepared_cases(tmp_path) == records(tmp_path) == ["case_00001"]


def test_a_copy_is_taken_once_the_other_is_gone(tmp_path):
    folder = planted.write_case(tmp_path / "raw", 0)
    shutil.copytree(folder, tmp_path / "raw" / "case_00001")
    prepare(tmp_path)
    assert records(tmp_path) == ["case_00000"]
    assert prepare(tmp_path)[1] == []
    shutil.rmtree(folder)
    assert prepare(tmp_path) == ([], ["case_00001: written"])
    assert prepared_cases(tmp_path) == ["case_00001"]


def test_nothing_is_written_where_the_split_fails_after_the_checks(tmp_path):
    for number in range(2):
        faults.constant_image(planted.write_case(tmp_path / "raw", number))
    with pytest.raises(UsageError):
        prepare(tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("end, code", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)])
def test_a_run_that_was_ended_is_taken_up_where_it_was(tmp_path, end, code):
    """It ends once two of eight records are written; the next run leaves those alone and writes the others."""
    for number in range(8):
        planted.write_case(tmp_path / "raw", number)
    line = [sys.executable, "-m", "kits_tf.cli.prepare", f"--data_dir={tmp_path / 'raw'}", "--num_test=0"]
    line += [f"--output_dir={tmp_path / 'out'}", "--num_validation=0", "--processes=1"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    written = (line for line in process.stdout if line.endswith(": written\n"))
    next(written), next(written)
    process.send_signal(end)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in errors
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cases").glob("*.json")}
    assert 2 <= len(done) < 8 and not (tmp_path / "out" / "dataset.json").exists()
    assert end == signal.SIGKILL or not list((tmp_path / "out").rglob(".writing*"))
    (tmp_path / "out" / "cases" / ".writing-1-case_00007.tfrecord").write_bytes(b"half")
    _, lines = prepare(tmp_path)
    assert sum(line.endswith(": written") for line in lines) == 8 - len(done)
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in done.items())
    assert prepared_cases(tmp_path) == records(tmp_path) == [kits19.case_name(number) for number in range(8)]
    assert not list((tmp_path / "out").rglob(".writing*"))
