"""Proves kits-prepare: what it writes, what it leaves out, exit codes, and that it does nothing twice."""

import json
import shutil

import pytest

from kits_tf.cli import app, prepare
from kits_tf.data import kits19, workers
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
    lines = [line for line in capsys.readouterr().out.splitlines() if "case_" in line]
    assert {line.split(":")[0] for line in lines} == {"case_00001"} and lines[-1].endswith(": written")


def test_bad_cases_are_left_out(data, tmp_path, capsys):
    (data / "case_00001" / kits19.IMAGE_NAME).write_text("no image")
    assert run(data, tmp_path / "out") == 1
    errors = capsys.readouterr().err
    assert len([line for line in errors.splitlines() if "case_00001" in line and "imaging.nii.gz" in line]) == 1
    assert "Traceback" not in errors
    assert [case["id"] for case in index(tmp_path / "out")] == ["case_00000", "case_00002"]


def test_cases_without_a_folder_are_named(data, tmp_path, capsys):
    split = {"training": ["case_00000", "case_00001", "case_00002"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    line = ["kits-prepare", f"--data_dir={data}", f"--output_dir={tmp_path / 'out'}", "--cases=1-2,7"]
    for flags in (["--num_validation=1", "--num_test=0"], [f"--split_file={tmp_path / 'split.json'}"]):
        assert app.execute(prepare.main, prepare.FLAGS, [*line, *flags]) == 1
        [error] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("case_")]
        assert error == f"case_00007: {data / 'case_00007'}: is missing; kits-download --cases=7 fetches it"
    content = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert [case["id"] for case in content["cases"]] == ["case_00001", "case_00002"]
    assert [left["case"] for left in content["left_out"]] == ["case_00007"]


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
        (["--num_folds=2"], "--num_validation"),
        (["--fold=1"], "--fold"),
        (["--split_file=x.json"], "--num_validation"),
        (["--data_dir=/nowhere"], "--data_dir"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(data, tmp_path, capsys, arguments, word):
    assert run(data, tmp_path / "out", *arguments) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and word in errors[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["raw", "raw/../raw", "raw/case_00001", "raw/case_00009/prepared", "link/new"])
def test_the_output_stays_out_of_the_cases(data, tmp_path, capsys, place):
    (tmp_path / "link").symlink_to(data / "case_00002")
    before = sorted(tmp_path.rglob("*"))
    assert run(data, tmp_path / place) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and errors[0].startswith(f"kits-prepare: --output_dir: {tmp_path / place} ")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_output_may_lie_beside_the_cases(data):
    assert run(data, data / "prepared") == 0


def test_folds_are_chosen_in_a_second_run(data, tmp_path):
    line = ["kits-prepare", f"--data_dir={data}", f"--output_dir={tmp_path / 'out'}", "--num_folds=3", "--num_test=0"]
    validations = []
    for fold in range(3):
        assert app.execute(prepare.main, prepare.FLAGS, [*line, f"--fold={fold}"]) == 0
        cases = index(tmp_path / "out")
        assert {case["fold"] for case in cases} == {0, 1, 2}
        validations += [case["id"] for case in cases if case["split"] == "validation"]
    assert sorted(validations) == ["case_00000", "case_00001", "case_00002"]


def test_a_given_split_is_used(data, tmp_path, capsys):
    split = {"training": ["case_00001", "case_00002", "case_00209"], "test": ["case_00000"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    line = ["kits-prepare", f"--data_dir={data}", f"--output_dir={tmp_path / 'out'}"]
    assert app.execute(prepare.main, prepare.FLAGS, [*line, f"--split_file={tmp_path / 'split.json'}"]) == 0
    assert [case["split"] for case in index(tmp_path / "out")] == ["test", "training", "training"]
    assert app.execute(prepare.main, prepare.FLAGS, [*line, "--split_file=/nowhere.json"]) == 2
    assert "/nowhere.json" in capsys.readouterr().err


def test_the_fingerprint_and_what_was_left_out_are_kept(data, tmp_path):
    shutil.copytree(data / "case_00000", data / "case_00008")
    assert run(data, tmp_path / "out") == 1
    content = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert [(left["case"], "same image" in left["reason"]) for left in content["left_out"]] == [("case_00008", True)]
    assert content["fingerprint"]["spacing_mm"] == [[5.0, 4.0, 4.0]] * 3
    least, median, greatest = content["fingerprint"]["kidney_ml"]
    assert least == median == greatest == content["cases"][0]["kidney_ml"]
    for region, level in (("kidney", 200), ("tumor", 200)):  # what small_ct puts there
        assert content["fingerprint"]["hu"][region][2] == pytest.approx(level, abs=5)


def test_processes_write_what_one_would(data, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "WORTH_A_PROCESS", 0)
    (data / "case_00001" / kits19.IMAGE_NAME).write_text("no image")
    assert run(data, tmp_path / "two", "--processes=2", "--num_validation=0") == 1
    monkeypatch.undo()
    assert run(data, tmp_path / "one", "--num_validation=0") == 1
    for name in ("dataset.json", "cases/case_00000.tfrecord", "cases/case_00002.tfrecord"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


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
