"""kits-evaluate writes the promised JSON, tables and exit codes; bad cases are named and stop no other."""

import json

import numpy as np
import pytest

from kits_tf.cli import app, evaluate
from kits_tf.evaluation.metrics import METRICS
from kits_tf.io.volume import Volume, read_labels, working_affine, write_labels

SPACING_MM = (10.0, 3.0, 3.0)


def labels(shift=0, shape=(6, 12, 14)):
    values = np.zeros(shape, np.uint8)
    values[1:5, 3:9, 3:9] = 1
    values[2:4, 4:7, 4:7] = 2
    return np.roll(values, shift, axis=2)


def write(path, values, affine=None):
    write_labels(values, Volume(values, SPACING_MM, affine), path)


@pytest.fixture
def folders(tmp_path):
    for number in range(4):
        write(tmp_path / f"references/case_{number:05d}/segmentation.nii.gz", labels())
        write(tmp_path / f"predictions/prediction_{number:05d}.nii.gz", labels(shift=number))
    return tmp_path


def run(folders, *arguments, predictions="predictions", references="references"):
    flags = [f"--predictions={folders / predictions}", f"--references={folders / references}"]
    flags.append(f"--output={folders / 'scores.json'}")
    return app.execute(evaluate.main, evaluate.FLAGS, ["kits-evaluate", *flags, *arguments])


def scores(folders):
    return json.loads((folders / "scores.json").read_text())


def read_cells(text, separator):
    return [[cell.strip() for cell in line.strip("| ").split(separator)] for line in text.splitlines()]


def said(capsys):
    """Return the lines on stderr without the progress bar's."""
    return [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Scoring")]


def test_json_and_table(folders, capsys):
    assert run(folders) == 0
    result = scores(folders)
    assert list(result["cases"]) == [f"case_{number:05d}" for number in range(4)]
    assert all(set(case) == set(METRICS) for case in result["cases"].values())
    assert result["paper"] == {"kidney_dice": 0.9610, "tumor_dice": 0.7080}
    # boxes six and three columns wide, shifted by 0 to 3 columns
    assert [case["kidney_dice"] for case in result["cases"].values()] == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6])
    assert [case["tumor_dice"] for case in result["cases"].values()] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert result["mean"]["kidney_dice"] == result["summary"]["kidney_dice"]["median"] == pytest.approx(0.75)
    # tumors three columns wide: only the one shifted by three is missed, and it is false too
    found = result["detection"]
    assert [found[key] for key in ("tumors", "found", "sensitivity", "false_per_case")] == [4, 3, 0.75, 0.25]
    assert found["by_size"]["up to 40 mm"] == {"tumors": 4, "found": 3}
    table = capsys.readouterr().out
    for text in ("case_00003", "mean of 4", "0.7500", "tumors found: 3 of 4"):
        assert text in table, text
    assert "paper" not in table and "winner" not in table


def test_published_scores_are_shown_on_request(folders, capsys):
    """A name such as case_00000 does not tell whether a case is KiTS19's."""
    write(folders / "scans/scan.nii.gz", labels())
    assert run(folders, predictions="scans", references="scans") == 0
    assert "paper" not in capsys.readouterr().out and scores(folders)["paper"]
    assert run(folders, "--published", predictions="scans", references="scans") == 0
    assert "paper" in capsys.readouterr().out


def test_a_prepared_folder_serves_as_references_and_selects_a_split(prepared, tmp_path, capsys):
    """Scores are those against the files that were prepared; predictions of other splits are passed over."""
    raw = prepared.parent / "raw"
    for number in range(4):
        values, grid = read_labels(raw / f"case_{number:05d}" / "segmentation.nii.gz")
        write_labels(np.roll(values, 1, axis=2), grid, tmp_path / "predictions" / f"prediction_{number:05d}.nii.gz")
    assert run(tmp_path, "--split=validation", references=prepared) == 0
    found = scores(tmp_path)["cases"]
    index = json.loads((prepared / "dataset.json").read_text())["cases"]
    assert set(found) == {case["id"] for case in index if case["split"] == "validation"} and len(found) == 2
    assert run(tmp_path, references=raw) == 0
    assert {case: scores(tmp_path)["cases"][case] for case in found} == found and len(scores(tmp_path)["cases"]) == 4
    (tmp_path / "predictions" / f"prediction_{next(iter(found))[5:]}.nii.gz").unlink()
    assert run(tmp_path, "--split=validation", references=prepared) == 1
    assert scores(tmp_path)["missing"] == [next(iter(found))]
    capsys.readouterr()
    assert run(tmp_path, "--split=validation", references=raw) == 2
    assert "--split: needs a folder of kits-prepare" in capsys.readouterr().err


def test_csv_and_markdown_hold_what_the_json_holds(folders):
    (folders / "predictions/prediction_00003.nii.gz").unlink()
    assert run(folders, f"--csv={folders / 'scores.csv'}", f"--markdown={folders / 'scores.md'}") == 1
    result = scores(folders)
    head, *rows = read_cells((folders / "scores.csv").read_text(), ",")
    assert head == ["case", *METRICS, "tumors", "tumors_found", "false_tumors"]
    for row in rows:
        cells = dict(zip(METRICS, row[1:], strict=False))
        assert {metric: float(cell) if cell else None for metric, cell in cells.items()} == result["cases"][row[0]]
    assert [row[-3:] for row in rows] == [["1", "1", "0"]] * 3 + [["1", "0", "0"]]
    lines = read_cells((folders / "scores.md").read_text(), "|")
    assert lines[2][:2] == [r"case\_00000", "1.0000"] and len(lines[2]) == len(METRICS) + 1


def test_predictions_without_a_tumor_network_are_counted_and_scored_as_they_are(folders, capsys):
    for number in range(2):
        write(folders / f"predictions/prediction_{number:05d}.nii.gz", np.minimum(labels(), 1))
    assert run(folders) == 0
    without_json = scores(folders)
    assert without_json["tumors_not_looked_for"] == [] and said(capsys) == []
    for number in range(3):  # case_00002 has a tumor, drawn by hand since
        (folders / f"predictions/prediction_{number:05d}.json").write_text('{"tumor_ml": null, "tumors": null}')
    assert run(folders, f"--compare={folders / 'predictions'}", f"--markdown={folders / 'scores.md'}") == 0
    line, same = said(capsys)
    assert line == same and line.startswith(f"{folders / 'predictions'}: --stage=kidney made 2 of 4 predictions")
    result = scores(folders)
    assert result.pop("tumors_not_looked_for") == ["case_00000", "case_00001"]
    assert {key: result[key] for key in ("cases", "mean", "lesions")} == {
        key: without_json[key] for key in ("cases", "mean", "lesions")
    }
    assert "empty mask" in (folders / "scores.md").read_text().splitlines()[-1]


def test_two_folders_are_compared_case_by_case(folders, capsys):
    for number in range(3):
        write(folders / f"others/prediction_{number:05d}.nii.gz", labels(shift=1))
    assert run(folders, f"--compare={folders / 'others'}") == 1
    comparison = scores(folders)["comparison"]
    differences = [case["kidney_dice"] for case in comparison["cases"].values()]
    assert differences == pytest.approx([1 / 6, 0, -1 / 6, 1 / 2])  # the case missing there scores 0
    found = comparison["metrics"]["kidney_dice"]
    assert (found["count"], found["higher"], found["lower"], found["equal"]) == (4, 2, 1, 1)
    output = capsys.readouterr()
    assert "+0.1250" in output.out and "case_00003: no prediction in" in output.err
    assert run(folders, f"--compare={folders / 'nowhere'}") == 2
    assert "--compare" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_cases_are_named_and_the_others_scored(folders, workers, capsys):
    predictions = folders / "predictions"
    (predictions / "prediction_00000.nii.gz").rename(predictions / "prediction_00050.nii.gz")
    (predictions / "prediction_00001.nii.gz").write_text("no volume")
    write(predictions / "prediction_00002.nii.gz", labels(shape=(7, 12, 14)))
    write(folders / "references/case_00004/segmentation.nii.gz", labels())
    write(predictions / "prediction_00004.nii.gz", labels())
    (folders / "references/case_00004/segmentation.nii.gz").write_bytes(b"")
    assert run(folders, f"--workers={workers}") == 1
    result = scores(folders)
    assert (result["missing"], result["extra"]) == (["case_00000"], ["prediction_00050.nii.gz"])
    assert list(result["failed"]) == ["case_00001", "case_00002", "case_00004"]
    # an unreadable reference is not held against the prediction
    assert [case["kidney_dice"] for case in result["cases"].values()] == pytest.approx([0, 0, 0, 0.5])
    assert result["cases"]["case_00001"]["kidney_hd95_mm"] is None
    lines = said(capsys)
    assert len(lines) == 5
    for text in ("00001.nii.gz: not a NIfTI", "00002.nii.gz: has 7x12", "case_00000: no pred", "00050", "case_00004"):
        assert sum(text in line for line in lines) == 1, text


def test_without_a_case_to_score_there_is_no_table(folders, capsys):
    for path in (folders / "references").glob("*/*.nii.gz"):
        path.write_bytes(b"")
    assert run(folders) == 1
    assert len(scores(folders)["failed"]) == 4 and not capsys.readouterr().out


def test_requested_cases_that_do_not_exist_are_named(folders, capsys):
    assert run(folders, "--cases=0-1") == 0
    write(folders / "predictions/prediction_00008.nii.gz", labels())
    assert run(folders) == 0
    capsys.readouterr()
    assert run(folders, "--cases=0-1,7,8") == 1
    assert list(scores(folders)["cases"]) == ["case_00000", "case_00001"]
    assert scores(folders)["absent"] == ["case_00007"]
    absent, extra = said(capsys)
    assert absent.startswith("case_00007: no reference in ") and "prediction_00008.nii.gz: no reference" in extra


def test_a_shifted_prediction_fails_and_another_orientation_does_not(folders):
    affine = working_affine(SPACING_MM)
    affine[:, 2] *= -1
    affine[0, 3] = -39.0  # column 0 is now the patient's left end
    write(folders / "predictions/prediction_00000.nii.gz", labels()[:, :, ::-1], affine)
    write(folders / "predictions/prediction_00001.nii.gz", labels(), working_affine(SPACING_MM, (0, 0, 3.0)))
    assert run(folders, "--cases=0-1") == 1
    assert scores(folders)["cases"]["case_00000"]["kidney_dice"] == 1.0
    assert list(scores(folders)["failed"]) == ["case_00001"]


def test_volumes_of_a_sheared_grid_follow_from_the_determinant(folders, capsys):
    """A gantry tilt of 20 degrees lengthens the slice axis by 6.4 %, not the voxels."""
    affine = working_affine(SPACING_MM)
    affine[1, 0] = 10.0 * np.tan(np.radians(20))
    for name, values in (("tilted.nii.gz", labels()), ("empty.nii.gz", labels() * 0)):
        write(folders / name, values, affine)
    assert run(folders, predictions="empty.nii.gz", references="tilted.nii.gz") == 0
    assert [line.split(": ")[1:2] for line in said(capsys)] == [["warning"]] * 2
    [case] = scores(folders)["cases"].values()
    assert case["kidney_volume_error_ml"] == pytest.approx(-4 * 6 * 6 * 0.09, rel=1e-4)
    [tumor] = scores(folders)["lesions"]["tilted"]["tumors"]
    assert tumor["volume_ml"] == pytest.approx(18 * 0.09, rel=1e-3)


@pytest.mark.parametrize("arguments", [{"predictions": "nowhere"}, {"references": "nowhere"}])
def test_nothing_to_do_is_one_line(folders, arguments, capsys):
    assert run(folders, **arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"--{next(iter(arguments))}" in error
    assert not (folders / "scores.json").exists()
