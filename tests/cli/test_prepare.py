"""Proves kits-prepare: what it writes, what it leaves out, exit codes, and that it does nothing twice."""

import json
import shutil

import pytest

from kits_tf.cli import app, prepare
from kits_tf.data import kits19
from tests import planted
from tests.data import faults


@pytest.fixture(name="data")
def raw_data(tmp_path):
    for number in range(3):
        planted.write_case(tmp_path / "raw", number)
    return tmp_path / "raw"


def run(data, output, *arguments, split=("--num_validation=1", "--num_test=0")):
    line = ["kits-prepare", f"--input={data}", f"--output_dir={output}", *split, *arguments]
    return app.execute(prepare.main, prepare.FLAGS, line)


def index(output):
    return json.loads((output / "dataset.json").read_text())


def test_every_case_is_described_once(data, tmp_path):
    """And a second run touches nothing."""
    out = tmp_path / "out"
    assert run(data, out) == 0
    content = index(out)
    assert [case["id"] for case in content["cases"]] == ["case_00000", "case_00001", "case_00002"]
    assert sorted(case["split"] for case in content["cases"]) == ["training", "training", "validation"]
    labels = planted.labels()
    for case in content["cases"]:
        assert case["shape"] == [12, 60, 80] and case["spacing_mm"] == [5.0, 4.0, 4.0]
        assert case["orientation"] == "IPL"
        assert case["kidney_ml"] == pytest.approx((labels > 0).sum() * 0.08)
        assert case["tumor_ml"] == pytest.approx((labels == 2).sum() * 0.08)
        assert case["hu"]["kidney"][2] == pytest.approx(200, abs=5)  # as small_ct has it
    assert content["left_out"] == []
    odd = [["40 mm long" in line for line in case["warnings"]] for case in content["cases"]]
    assert odd == [[True], [], []]  # of the others the scan might have cut a kidney
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert run(data, out) == 0
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_bad_cases_are_left_out_and_named(data, tmp_path, capsys):
    """One that cannot be read, a copy, and one that has no folder; one that is only odd is kept with a warning."""
    (data / "case_00001" / kits19.IMAGE_NAME).write_text("no image")
    faults.ODD["transplant"][0](data / "case_00002")
    shutil.copytree(data / "case_00000", data / "case_00008")
    assert run(data, tmp_path / "out", "--cases=0-2,7,8") == 1
    errors = capsys.readouterr().err
    named = (("case_00001/imaging.nii.gz", "NIfTI"), ("case_00008", "same image"), ("case_00007", "--cases=7"))
    for case, word in named:
        assert len([line for line in errors.splitlines() if case in line and word in line]) == 1
    assert "Traceback" not in errors and "3 of 5 cases bad" in errors
    assert "case_00002/segmentation.nii.gz: warning: " in errors
    content = index(tmp_path / "out")
    odd = [(case["id"], "above the other" in str(case["warnings"])) for case in content["cases"]]
    assert odd == [("case_00000", False), ("case_00002", True)]
    assert sorted(left["case"] for left in content["left_out"]) == ["case_00001", "case_00007", "case_00008"]


def test_strict_writes_all_or_nothing(data, tmp_path, capsys):
    label = (data / "case_00002" / kits19.LABEL_NAME).rename(tmp_path / "label")
    assert run(data, tmp_path / "out", "--strict") == 1
    assert "case_00002" in capsys.readouterr().err and not (tmp_path / "out").exists()
    label.rename(data / "case_00002" / kits19.LABEL_NAME)
    assert run(data, tmp_path / "out", "--strict") == 0
    assert capsys.readouterr().out.count("case_00002: ") == 1  # though it is read twice
    assert len(index(tmp_path / "out")["cases"]) == len(list((tmp_path / "out").rglob("*.tfrecord"))) == 3


@pytest.mark.parametrize(
    "arguments, word",
    [
        ("--num_validation=3", "num_validation"), ("--cases=0", "num_validation"), ("--cases=7", "cases"),
        ("--cases=a", "cases"), ("--num_test=-1", "num_test"), ("--num_folds=2", "num_validation"),
        ("--fold=1", "fold"), ("--split_file=x.json", "num_"), ("--data_dir=/nowhere", "data_dir"),
        ("--input=/nowhere", "input"),
        ("--split_file=/nowhere.json --num_validation=0", "num_"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line_and_exit_code_2(data, tmp_path, capsys, arguments, word):
    assert run(data, tmp_path / "out", *arguments.split()) == 2
    [error] = capsys.readouterr().err.strip().splitlines()
    assert f"--{word}" in error and not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["raw/../raw", "raw/case_00002/prepared", "link/new"])
def test_the_output_stays_out_of_the_cases(data, tmp_path, capsys, place):
    (tmp_path / "link").symlink_to(data / "case_00002")
    before = sorted(tmp_path.rglob("*"))
    assert run(data, tmp_path / place) == 2
    [error] = capsys.readouterr().err.splitlines()
    assert error.startswith(f"kits-prepare: --output_dir: {tmp_path / place} ")
    assert sorted(tmp_path.rglob("*")) == before
    assert run(data, data / "prepared") == 0


def test_splits_are_changed_in_a_second_run(data, tmp_path, capsys):
    validations = []
    for fold in range(3):
        assert run(data, tmp_path / "out", split=["--num_folds=3", "--num_test=0", f"--fold={fold}"]) == 0
        cases = index(tmp_path / "out")["cases"]
        assert {case["fold"] for case in cases} == {0, 1, 2}
        validations += [case["id"] for case in cases if case["split"] == "validation"]
    assert sorted(validations) == ["case_00000", "case_00001", "case_00002"]
    split = {"training": ["case_00001", "case_00002", "case_00209"], "test": ["case_00000"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    assert run(data, tmp_path / "out", split=[f"--split_file={tmp_path / 'split.json'}"]) == 0
    assert [case["split"] for case in index(tmp_path / "out")["cases"]] == ["test", "training", "training"]
    assert run(data, tmp_path / "out", split=["--split_file=/nowhere.json"]) == 2
    assert "/nowhere.json" in capsys.readouterr().err


def test_processes_write_what_one_would(data, tmp_path):
    (data / "case_00001" / kits19.IMAGE_NAME).write_text("no image")
    for name, processes in (("one", 1), ("two", 2)):
        assert run(data, tmp_path / name, f"--workers={processes}", "--num_validation=0") == 1
    for name in ("dataset.json", "cases/case_00000.tfrecord", "cases/case_00002.tfrecord"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_all_cases_bad_is_exit_code_2(data, tmp_path, capsys):
    for case in data.iterdir():
        (case / kits19.IMAGE_NAME).write_text("no image")
    assert run(data, tmp_path / "out") == 2
    errors = capsys.readouterr().err
    assert all(f"case_0000{number}" in errors for number in range(3)) and "--num_validation" in errors
