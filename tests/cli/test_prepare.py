"""Proves kits-prepare: what it writes, what it leaves out, exit codes, and that it does nothing twice."""

import json

import pytest

from kits_tf.cli import app, prepare
from kits_tf.dataset import kits19
from tests import planted


@pytest.fixture(name="data")
def raw_data(tmp_path):
    for number in range(3):
        planted.write_case(tmp_path / "raw", number)
    return tmp_path / "raw"


def run(data, output, *arguments):
    splits = ["--num_validation=1", "--num_test=0"]
    line = ["kits-prepare", f"--data_dir={data}", f"--output_dir={output}", *splits, *arguments]
    return app.execute(prepare.main, prepare.FLAGS, line)


def index(output):
    return json.loads((output / "dataset.json").read_text())["cases"]


def test_every_case_is_described(data, tmp_path):
    assert run(data, tmp_path / "out") == 0
    cases = index(tmp_path / "out")
    assert [case["id"] for case in cases] == ["case_00000", "case_00001", "case_00002"]
    assert sorted(case["split"] for case in cases) == ["training", "training", "validation"]
    labels = planted.labels()
    for case in cases:
        assert case["shape"] == [12, 60, 80] and case["spacing_mm"] == [5.0, 4.0, 4.0]
        assert case["orientation"] == "IPL"
        assert case["kidney_ml"] == pytest.approx((labels > 0).sum() * 0.08)
        assert case["tumor_ml"] == pytest.approx((labels == 2).sum() * 0.08)


def test_a_second_run_touches_nothing_and_a_changed_case_is_done_again(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(data, out) == 0
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert run(data, out) == 0
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    capsys.readouterr()
    case = data / "case_00001"
    (case / kits19.LABEL_NAME).write_bytes((case / kits19.LABEL_NAME).read_bytes() + b"\0")
    run(data, out)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if "case_" in line] == ["case_00001"]


def test_bad_cases_are_left_out(data, tmp_path, capsys):
    (data / "case_00001" / kits19.IMAGE_NAME).write_text("no image")
    assert run(data, tmp_path / "out") == 1
    errors = capsys.readouterr().err
    assert len([line for line in errors.splitlines() if "case_00001" in line and "imaging.nii.gz" in line]) == 1
    assert "Traceback" not in errors
    assert [case["id"] for case in index(tmp_path / "out")] == ["case_00000", "case_00002"]


def test_strict_writes_nothing(data, tmp_path, capsys):
    (data / "case_00002" / kits19.LABEL_NAME).unlink()
    assert run(data, tmp_path / "out", "--strict") == 1
    assert "case_00002" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["--num_validation=3"], "--num_validation"),
        (["--cases=0"], "--num_validation"),
        (["--cases=7"], "--cases"),
        (["--cases=a"], "--cases"),
        (["--num_test=-1"], "--num_test"),
        (["--data_dir=/nowhere"], "--data_dir"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(data, tmp_path, capsys, arguments, word):
    assert run(data, tmp_path / "out", *arguments) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and word in errors[0]
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_exit_code_2(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", tmp_path / "out") == 2
    assert "--data_dir" in capsys.readouterr().err


def test_all_cases_bad_is_exit_code_2(data, tmp_path, capsys):
    for case in data.iterdir():
        (case / kits19.IMAGE_NAME).write_text("no image")
    assert run(data, tmp_path / "out") == 2
    errors = capsys.readouterr().err
    assert all(f"case_0000{number}" in errors for number in range(3)) and "--num_validation" in errors
