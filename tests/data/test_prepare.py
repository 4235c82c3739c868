"""Proves that a whole folder is judged rightly, that an interrupted run is resumed, and what dataset.json says."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from kits_tf.data import kits19
from kits_tf.data import prepare as preparation
from kits_tf.data.splits import Split
from kits_tf.errors import InputError, UsageError
from kits_tf.io import volume
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


def test_faults_of_a_folder_are_found_and_nothing_fine_accused(tmp_path):
    """Usable cases first, then faulty ones, a copied case and a copied label file."""
    bad = [faults.FAULTS[name][0] for name in ("no label", "damaged", "affine", "constant")]
    changes = [None, None, faults.FINE["oblique"], faults.ODD["transplant"][0], *bad]
    folders = [planted.write_case(tmp_path / "raw", number) for number in range(len(changes))]
    for change, folder in zip(changes, folders, strict=True):
        if change is not None:
            change(folder)
    shutil.copytree(folders[0], tmp_path / "raw" / kits19.case_name(8))
    shutil.copy(folders[1] / kits19.LABEL_NAME, planted.write_case(tmp_path / "raw", 9) / kits19.LABEL_NAME)
    left_out, lines = prepare(tmp_path)
    assert sorted(left_out) == [kits19.case_name(number) for number in range(4, 10)]
    assert prepared_cases(tmp_path) == [folder.name for folder in folders[:4]]
    assert [("warning" in line, "case_00003" in line) for line in lines].count((True, True)) == 1
    [odd] = [c for c in json.loads((tmp_path / "out" / "dataset.json").read_text())["cases"] if c["warnings"]]
    assert odd["id"] == "case_00003" and "above the other" in odd["warnings"][0]


def test_changed_cases_and_damaged_records_are_done_again(tmp_path):
    folders = [planted.write_case(tmp_path / "raw", number) for number in range(3)]
    faults.FAULTS["constant"][0](folders[1])
    assert prepare(tmp_path)[0] == ["case_00001"] and records(tmp_path) == ["case_00000", "case_00002"]
    shutil.rmtree(folders[1])
    planted.write_case(tmp_path / "raw", 1)
    faults.FAULTS["NaN"][0](folders[2])
    (tmp_path / "out" / "cases" / "case_00000.tfrecord").write_bytes(b"truncated")
    left_out, lines = prepare(tmp_path)
    words = [("case_00000", "kidney"), ("case_00001", "kidney"), ("case_00002", "NaN")]
    assert left_out == ["case_00002"] and all(
        one in s and two in s for (one, two), s in zip(words, lines, strict=True)
    )
    assert prepared_cases(tmp_path) == records(tmp_path) == ["case_00000", "case_00001"]


def test_a_copy_is_used_once_the_other_is_gone(tmp_path):
    folder = planted.write_case(tmp_path / "raw", 0)
    shutil.copytree(folder, tmp_path / "raw" / "case_00001")
    assert prepare(tmp_path)[0] == ["case_00001"] and prepared_cases(tmp_path) == ["case_00000"]
    shutil.rmtree(folder)
    assert prepare(tmp_path) == ([], [])
    assert prepared_cases(tmp_path) == ["case_00001"]


def test_strict_writes_all_or_nothing(tmp_path):
    folders = [planted.write_case(tmp_path / "raw", number) for number in range(2)]
    content = (folders[1] / kits19.IMAGE_NAME).read_bytes()
    faults.FAULTS["constant"][0](folders[1])
    assert prepare(tmp_path, strict=True)[0] == ["case_00001"] and not (tmp_path / "out").exists()
    (folders[1] / kits19.IMAGE_NAME).write_bytes(content)
    assert prepare(tmp_path, strict=True)[0] == []
    assert prepared_cases(tmp_path) == records(tmp_path) == ["case_00000", "case_00001"]


def test_volumes_of_a_sheared_ct_are_those_of_its_determinant(tmp_path):
    """A gantry tilt of 20 degrees makes slices cos(20) of their distance thick."""
    tilt = np.eye(4)
    tilt[1, 2] = -np.tan(np.radians(20))  # in RAS mm: positions move backwards as they rise
    planted.write_case(tmp_path / "raw", 0)
    faults.edit_nifti(lambda data, affine: (data, tilt @ affine), *(kits19.IMAGE_NAME, kits19.LABEL_NAME))(
        tmp_path / "raw" / "case_00000"
    )
    prepare(tmp_path)
    [case] = json.loads((tmp_path / "out" / "dataset.json").read_text())["cases"]
    assert case["kidney_ml"] == pytest.approx(np.count_nonzero(planted.labels()) * 0.08, rel=1e-3)
    assert case["spacing_mm"][0] == pytest.approx(5 / np.cos(np.radians(20)), rel=1e-3)


@pytest.mark.parametrize("end, code", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)])
def test_an_interrupted_run_is_resumed(tmp_path, end, code):
    """It ends once two of eight records are written; the next run keeps those and writes the others."""
    for number in range(8):
        planted.write_case(tmp_path / "raw", number)
    line = [sys.executable, "-m", "kits_tf.cli.prepare", f"--data_dir={tmp_path / 'raw'}", "--num_test=0"]
    line += [f"--output_dir={tmp_path / 'out'}", "--num_validation=0", "--processes=1"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline(), process.stdout.readline()
    process.send_signal(end)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in errors
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cases").glob("*.json")}
    assert 2 <= len(done) < 8 and not (tmp_path / "out" / "dataset.json").exists()
    assert end == signal.SIGKILL or not list((tmp_path / "out").rglob(".writing*"))
    (tmp_path / "out" / "cases" / ".writing-1-case_00007.tfrecord").write_bytes(b"half")
    assert len(prepare(tmp_path)[1]) == 8 - len(done)
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in done.items())
    assert prepared_cases(tmp_path) == records(tmp_path) == [kits19.case_name(number) for number in range(8)]
    assert not list((tmp_path / "out").rglob(".writing*"))


def test_what_goes_wrong_in_a_process_is_reported(tmp_path):
    missing = str(tmp_path / "no.nii")
    with pytest.raises(InputError, match="no.nii") as error:
        list(preparation._spread(volume.read_volume, [missing] * 2, 2))
    assert error.value.path == missing
    with pytest.raises(UsageError, match="was killed"):
        list(preparation._spread(os._exit, [1, 1], 2))


def test_percentiles_are_those_of_the_voxels():
    rng = np.random.default_rng(0)
    hu = rng.normal(50, 300, (6, 30, 40)).astype(np.int16)
    labels = rng.integers(0, 3, hu.shape).astype(np.uint8)
    found = preparation.hu_percentiles(hu, labels)
    clipped = np.clip(hu, -1024, 3071)
    regions = {"background": labels == 0, "kidney": labels == 1, "tumor": labels == 2, "foreground": labels > 0}
    for region, mask in regions.items():
        expected = np.percentile(clipped[mask], preparation.PERCENTILES, method="inverted_cdf")
        np.testing.assert_array_equal(found[region], expected)
    found = preparation.hu_percentiles(np.zeros((1, 2, 2), np.int16), np.ones((1, 2, 2), np.uint8))
    assert found["tumor"] is None and found["kidney"] == [0] * 5


def test_a_fingerprint_sums_cases_up():
    hu = {region: [0, 1, 2, 3, 4] for region in preparation.REGIONS}
    entries = [
        {"shape": [n, 10, 20], "spacing_mm": [3.0, 0.5, n / 2], "kidney_ml": 100.0 * n, "tumor_ml": 5.0, "hu": hu}
        for n in (1, 2, 6)
    ]
    entries[0]["hu"] = hu | {"tumor": None, "kidney": [3, 4, 5, 6, 7]}
    found = preparation.fingerprint(entries)
    assert found["shape"] == [[1, 10, 20], [2, 10, 20], [6, 10, 20]]
    assert found["spacing_mm"] == [[3.0, 0.5, 0.5], [3.0, 0.5, 1.0], [3.0, 0.5, 3.0]]
    assert found["kidney_ml"] == [100.0, 200.0, 600.0]
    assert found["hu"]["tumor"] == found["hu"]["kidney"] == [0, 1, 2, 3, 4]
