"""kits-evaluate: the promised JSON and exit codes; bad cases are named and stop no other."""

import json

import numpy as np
import pytest

from kits_tf.cli import app, evaluate
from kits_tf.evaluation.metrics import METRICS
from kits_tf.io.volume import Volume, working_affine, write_labels

SPACING_MM = (10.0, 3.0, 3.0)
LARGER = ("40 to 70 mm", "over 70 mm")


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


def test_json_and_table(folders, capsys):
    assert run(folders) == 0
    result = scores(folders)
    assert list(result["cases"]) == [f"case_{number:05d}" for number in range(4)]
    assert all(set(case) == set(METRICS) for case in result["cases"].values())
    assert result["paper"] == {"kidney_dice": 0.9610, "tumor_dice": 0.7080}
    # boxes six and three columns wide, shifted by 0 to 3 columns
    assert [case["kidney_dice"] for case in result["cases"].values()] == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6])
    assert [case["tumor_dice"] for case in result["cases"].values()] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert result["mean"]["kidney_dice"] == pytest.approx(0.75)
    table = capsys.readouterr().out
    assert "case_00003" in table
    assert "mean of 4" in table and "0.7500" in table
    assert "paper" in table and "0.9610" in table and "0.7080" in table
    assert "challenge winner" in table and "0.9740" in table and "95 % from" in table
    assert result["summary"]["kidney_dice"]["median"] == pytest.approx(0.75)
    # tumors three columns wide: all but the one shifted by three are found, and that one is a false one too
    assert result["detection"] == {
        "tumors": 4,
        "found": 3,
        "sensitivity": 0.75,
        "false": 1,
        "false_per_case": 0.25,
        "by_size": {"up to 40 mm": {"tumors": 4, "found": 3}} | {n: {"tumors": 0, "found": 0} for n in LARGER},
    }
    assert "tumors found: 3 of 4" in table


def read_cells(text, separator):
    return [[cell.strip() for cell in line.strip("| ").split(separator)] for line in text.splitlines()]


def test_csv_and_markdown_hold_what_the_json_holds(folders):
    (folders / "predictions/prediction_00003.nii.gz").unlink()
    assert run(folders, f"--csv={folders / 'scores.csv'}", f"--markdown={folders / 'scores.md'}") == 1
    result = scores(folders)
    head, *rows = read_cells((folders / "scores.csv").read_text(), ",")
    assert head == ["case", *METRICS, "tumors", "tumors_found", "false_tumors"]
    for row in rows:
        expected = result["cases"][row[0]]
        for metric, cell in zip(METRICS, row[1:], strict=False):
            assert (float(cell) if cell else None) == expected[metric]
    assert [row[-3:] for row in rows] == [["1", "1", "0"]] * 3 + [["1", "0", "0"]]
    lines = read_cells((folders / "scores.md").read_text(), "|")
    assert lines[2][:2] == [r"case\_00000", "1.0000"]
    assert [line[0] for line in lines[6:9]] == ["mean of 4", "median", "1st quartile"]
    assert len(lines[2]) == len(METRICS) + 1


def test_several_processes_give_the_same_scores(folders, capsys):
    (folders / "predictions/prediction_00001.nii.gz").write_text("no volume")
    assert run(folders) == 1
    one, said = scores(folders), capsys.readouterr()
    assert run(folders, "--processes=2") == 1
    again = capsys.readouterr()
    assert scores(folders) == one
    assert again.out == said.out
    assert "prediction_00001.nii.gz: not a NIfTI" in again.err


def test_predictions_in_which_tumors_were_not_looked_for_are_counted_and_scored_as_they_are(folders, capsys):
    for number in range(2):
        write(folders / f"predictions/prediction_{number:05d}.nii.gz", np.minimum(labels(), 1))
    assert run(folders) == 0
    without_json = scores(folders)
    assert without_json["tumors_not_looked_for"] == [] and "not looked for" not in capsys.readouterr().err
    for number, tumor_ml in enumerate((None, None, None, 0.0)):  # case_00002 has a tumor, drawn by hand since
        summary = {"tumor_ml": tumor_ml, "tumors": None if tumor_ml is None else []}
        (folders / f"predictions/prediction_{number:05d}.json").write_text(json.dumps(summary))
    markdown = folders / "scores.md"
    assert run(folders, f"--csv={folders / 'scores.csv'}", f"--markdown={markdown}", "--processes=2") == 0
    [line] = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Scoring")]
    assert line == (
        f"{folders / 'predictions'}: tumors were not looked for in 2 of 4 predictions (--stage=kidney): "
        "their tumor scores, in the means too, are of an empty mask, of no tumor network"
    )
    result = scores(folders)
    assert result["tumors_not_looked_for"] == ["case_00000", "case_00001"]
    assert result | {"tumors_not_looked_for": []} == without_json
    assert [case["tumor_dice"] for case in result["cases"].values()] == pytest.approx([0, 0, 1 / 3, 0])
    assert markdown.read_text().splitlines()[-1].endswith("of no tumor network")
    head, *_ = read_cells((folders / "scores.csv").read_text(), ",")
    assert head == ["case", *METRICS, "tumors", "tumors_found", "false_tumors"]


def test_either_of_two_folders_may_be_of_kidneys_alone(folders, capsys):
    write(folders / "others/prediction_00001.nii.gz", np.minimum(labels(), 1))
    (folders / "others/prediction_00001.json").write_text('{"tumor_ml": null, "tumors": null}')
    assert run(folders, f"--compare={folders / 'others'}", "--cases=1") == 0
    [line] = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Scoring")]
    assert line.startswith(f"{folders / 'others'}: tumors were not looked for in 1 of 1 predictions")


def test_two_folders_are_compared_case_by_case(folders, capsys):
    for number in range(3):
        write(folders / f"others/prediction_{number:05d}.nii.gz", labels(shift=1))
    assert run(folders, f"--compare={folders / 'others'}") == 1
    comparison = scores(folders)["comparison"]
    differences = [case["kidney_dice"] for case in comparison["cases"].values()]
    assert differences == pytest.approx([1 / 6, 0, -1 / 6, 1 / 2])  # the case missing there counts as zero
    found = comparison["metrics"]["kidney_dice"]
    assert (found["count"], found["higher"], found["lower"], found["equal"]) == (4, 2, 1, 1)
    assert found["mean_difference"] == pytest.approx(0.125)
    said = capsys.readouterr()
    assert "Minus" in said.out and "+0.1250" in said.out
    assert "case_00003: no prediction in" in said.err
    assert run(folders, f"--compare={folders / 'nowhere'}") == 2
    assert "--compare" in capsys.readouterr().err


def test_missing_extra_and_bad_predictions_are_named_and_the_others_scored(folders, capsys):
    predictions = folders / "predictions"
    (predictions / "prediction_00000.nii.gz").rename(predictions / "prediction_00050.nii.gz")
    (predictions / "prediction_00001.nii.gz").write_text("no volume")
    write(predictions / "prediction_00002.nii.gz", labels(shape=(7, 12, 14)))
    assert run(folders) == 1
    result = scores(folders)
    assert result["missing"] == ["case_00000"]
    assert result["extra"] == ["prediction_00050.nii.gz"]
    assert set(result["failed"]) == {"case_00001", "case_00002"}
    assert [case["kidney_dice"] for case in result["cases"].values()] == pytest.approx([0, 0, 0, 0.5])
    assert result["mean"]["kidney_dice"] == pytest.approx(0.125)
    assert result["cases"]["case_00001"]["kidney_hd95_mm"] is None
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Scoring")]
    assert len(lines) == 4
    for name in (
        "prediction_00001.nii.gz: not a NIfTI",
        "prediction_00002.nii.gz: has 7x12x14",
        "case_00000",
        "00050",
    ):
        assert sum(name in line for line in lines) == 1, name


def test_cases_asked_for_that_are_not_there_are_named(folders, capsys):
    assert run(folders, "--cases=0-1") == 0
    capsys.readouterr()
    assert run(folders, "--cases=0-1,8") == 1
    assert list(scores(folders)["cases"]) == ["case_00000", "case_00001"] and scores(folders)["absent"] == [
        "case_00008"
    ]
    [line] = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Scoring")]
    assert line.startswith("case_00008: no reference in ") and "no prediction in" in line
    write(folders / "predictions/prediction_00008.nii.gz", labels())
    assert run(folders) == 0
    assert run(folders, "--cases=0-1,8") == 1
    assert "prediction_00008.nii.gz: no reference for it (not scored)" in capsys.readouterr().err


def test_an_unreadable_reference_is_not_counted_against_the_prediction(folders, capsys):
    (folders / "references/case_00003/segmentation.nii.gz").write_bytes(b"")
    assert run(folders) == 1
    assert list(scores(folders)["cases"]) == ["case_00000", "case_00001", "case_00002"]
    assert "not scored" in capsys.readouterr().err


def test_a_prediction_lying_elsewhere_fails_and_another_orientation_does_not(folders):
    turned = labels()[:, :, ::-1]
    affine = working_affine(SPACING_MM)
    affine[:, 2] *= -1
    affine[0, 3] = -39.0  # column 0 is now the patient's left end
    write(folders / "predictions/prediction_00000.nii.gz", turned, affine)
    moved = working_affine(SPACING_MM, (0, 0, 3.0))
    write(folders / "predictions/prediction_00001.nii.gz", labels(), moved)
    assert run(folders, "--cases=0-1") == 1
    assert scores(folders)["cases"]["case_00000"]["kidney_dice"] == 1.0
    assert list(scores(folders)["failed"]) == ["case_00001"]


def test_file_against_file(folders):
    assert (
        run(
            folders,
            predictions="predictions/prediction_00003.nii.gz",
            references="references/case_00001/segmentation.nii.gz",
        )
        == 0
    )
    assert list(scores(folders)["cases"]) == ["case_00001"]


@pytest.mark.parametrize("arguments", [{"predictions": "nowhere"}, {"references": "nowhere"}])
def test_nothing_to_do_is_one_line(folders, arguments, capsys):
    assert run(folders, **arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"--{next(iter(arguments))}" in error
    assert not (folders / "scores.json").exists()
