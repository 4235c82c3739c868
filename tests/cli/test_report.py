"""kits-report: a page a case and an index, with what belongs on them; bad cases are named and stop no other."""

import json

import numpy as np
import pytest

from kits_tf.cli import app, predict, report
from kits_tf.io.volume import Volume, write_labels, write_volume
from tests.tiny import small_ct, write_checkpoint

pytest.importorskip("matplotlib")
SPACING_MM = (4.0, 2.0, 2.0)


def labels(shift=0):
    values = np.zeros((20, 48, 64), np.uint8)
    values[6:14, 18:30, 10:20] = 1
    values[6:14, 18:30, 44:54] = 1
    values[8:12, 20:26, 46:52] = 2
    return np.roll(values, shift, axis=1)


@pytest.fixture
def folders(tmp_path):
    body = np.full((20, 48, 64), -1000, np.int16)
    body[:, 4:44, 4:60] = 30
    for number in range(2):
        volume = Volume((body + labels()).astype(np.int16), SPACING_MM)
        write_volume(volume, tmp_path / f"data/case_{number:05d}/imaging.nii.gz")
        write_labels(labels(), volume, tmp_path / f"data/case_{number:05d}/segmentation.nii.gz")
        write_labels(labels(number), volume, tmp_path / f"predictions/prediction_{number:05d}.nii.gz")
    summary = {"input": "<script>alert(1)</script>", "engine": "openvino", "seconds": {"total": 1.5}, "kidney_ml": 9}
    (tmp_path / "predictions/prediction_00000.json").write_text(json.dumps(summary))
    return tmp_path


def run(folders, *arguments, images="data"):
    flags = [f"--predictions={folders / 'predictions'}", f"--images={folders / images}"]
    flags.append(f"--output_dir={folders / 'pages'}")
    return app.execute(report.main, report.FLAGS, ["kits-report", *flags, *arguments])


def test_pages_and_index(folders):
    assert run(folders, f"--references={folders / 'data'}") == 0
    assert sorted(path.name for path in (folders / "pages").iterdir()) == [
        "case_00000.html",
        "case_00001.html",
        "index.html",
    ]
    text = (folders / "pages/case_00000.html").read_text()
    assert text.count("data:image/jpeg;base64,") == 3  # overview, three dimensions and one tumor
    assert "prediction and reference are the same" in text
    assert (folders / "pages/case_00001.html").read_text().count("data:image/jpeg;base64,") == 4  # errors too
    for shown in (
        "right kidney",
        "left kidney",
        "1, left",
        "found",
        "Left and right",
        "medical device",
        "openvino",
        "total 1.5",
        "1.0000",
    ):
        assert shown in text, shown
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "Not recorded" in (folders / "pages/case_00001.html").read_text()
    index = (folders / "pages/index.html").read_text()
    assert index.index("case_00001.html") < index.index("case_00000.html")  # the worse one first


def test_figure_1_shows_the_cases_asked_for(folders, capsys):
    from matplotlib import image

    references = f"--references={folders / 'data'}"
    assert run(folders, references, "--figure1=case_00001,case_00000") == 0
    height, width, _ = image.imread(folders / "pages/figure1.png").shape
    assert 0.4 < height / width < 0.6  # two rows of three bodies of 80 x 112 mm, and titles
    assert run(folders, references, "--figure1=case_00007") == 2
    assert "--figure1" in capsys.readouterr().err


def test_a_case_that_cannot_be_read_is_left_out_of_figure_1_and_stops_no_page(folders, capsys):
    from matplotlib import image

    (folders / "data/case_00001/imaging.nii.gz").write_bytes(b"x")
    references = f"--references={folders / 'data'}"
    assert run(folders, references, "--figure1=case_00001,case_00000") == 1
    assert "case_00001/imaging.nii.gz: not a NIfTI file" in capsys.readouterr().err
    height, width, _ = image.imread(folders / "pages/figure1.png").shape
    assert height / width < 0.4  # one row
    assert (folders / "pages/case_00000.html").is_file() and not (folders / "pages/case_00001.html").exists()


def test_figure_1_without_references_is_told_what_it_lacks(folders, capsys):
    assert run(folders, "--figure1=case_00000") == 2
    error = capsys.readouterr().err
    assert error.startswith("kits-report: --figure1: needs --references: a KiTS19-layout folder")
    assert error.count("\n") == 1 and not (folders / "pages").exists()


def test_a_missed_tumor_is_shown_and_named(folders):
    volume = Volume(np.zeros((20, 48, 64), np.int16), SPACING_MM)
    kidneys_alone = np.minimum(labels(), 1)
    write_labels(kidneys_alone, volume, folders / "predictions/prediction_00000.nii.gz")
    assert run(folders, f"--references={folders / 'data'}") == 0
    text = (folders / "pages/case_00000.html").read_text()
    assert "Tumor of the reference that was missed" in text and '<td class="text">missed</td>' in text


def test_tumors_that_were_not_looked_for_are_none_that_were_missed(folders):
    volume = Volume(np.zeros((20, 48, 64), np.int16), SPACING_MM)
    write_labels(np.minimum(labels(), 1), volume, folders / "predictions/prediction_00000.nii.gz")
    (folders / "predictions/prediction_00000.json").write_text('{"kidney_ml": 9, "tumor_ml": null, "tumors": null}')
    assert run(folders, f"--references={folders / 'data'}") == 0
    text = (folders / "pages/case_00000.html").read_text()
    assert text.count("not looked for") == 5  # alt text, two tables and the notes beneath
    assert "tumor 0" not in text and ">missed<" not in text and "that was missed" not in text
    index = (folders / "pages/index.html").read_text()
    assert (
        '<a href="case_00000.html">case_00000</a></td><td>30.7</td><td>-</td><td>-</td><td>-</td><td>-</td>' in index
    )
    assert index.index("case_00001.html") < index.index("case_00000.html")


def test_the_page_that_prediction_writes_says_that_tumors_were_not_looked_for(tmp_path):
    write_volume(Volume(small_ct(), (4.0, 3.0, 3.0)), tmp_path / "ct.nii.gz")
    flags = [f"--input={tmp_path / 'ct.nii.gz'}", f"--output_dir={tmp_path / 'out'}", "--stage=kidney", "--report"]
    flags.append(f"--checkpoint_dir={write_checkpoint(tmp_path / 'checkpoint')}")
    assert app.execute(predict.main, predict.FLAGS, ["kits-predict", *flags]) == 0
    text = (tmp_path / "out/ct_segmentation.html").read_text()
    assert "ml, tumors not looked for" in text and "tumor 0 ml" not in text
    assert '<td class="text">tumor</td><td class="text">not looked for</td>' in text


def test_without_references_there_are_no_scores(folders):
    assert run(folders) == 0
    assert "Against the reference" not in (folders / "pages/case_00001.html").read_text()
    assert "Dice" not in (folders / "pages/index.html").read_text()


def test_bad_cases_are_named_and_the_others_written(folders, capsys):
    (folders / "data/case_00001/imaging.nii.gz").write_bytes(b"no volume")
    (folders / "predictions/extra.nii.gz").write_bytes(b"")
    assert run(folders) == 1
    assert (folders / "pages/case_00000.html").exists() and not (folders / "pages/case_00001.html").exists()
    lines = [line for line in capsys.readouterr().err.splitlines() if "Writing" not in line]
    assert len(lines) == 2
    assert any("case_00001/imaging.nii.gz: not a NIfTI file" in line for line in lines)
    assert any("no CT for it" in line for line in lines)
    assert "not a NIfTI file" in (folders / "pages/index.html").read_text()


def test_an_empty_prediction_has_a_page(folders):
    volume = Volume(np.zeros((20, 48, 64), np.int16), SPACING_MM)
    write_labels(np.zeros(volume.shape, np.uint8), volume, folders / "predictions/prediction_00000.nii.gz")
    assert run(folders) == 0
    assert "No kidney and no tumor was found" in (folders / "pages/case_00000.html").read_text()


def test_one_file_with_one_ct(folders):
    flags = [f"--predictions={folders / 'predictions/prediction_00001.nii.gz'}"]
    flags += [f"--images={folders / 'data/case_00001/imaging.nii.gz'}", f"--output_dir={folders / 'pages'}"]
    assert app.execute(report.main, report.FLAGS, ["kits-report", *flags]) == 0
    assert (folders / "pages/case_00001.html").exists()


def test_scans_with_names_of_their_own_beside_their_results(tmp_path):
    volume = Volume(np.zeros((20, 48, 64), np.int16), SPACING_MM)
    write_volume(volume, tmp_path / "scan.nii.gz")
    write_labels(labels(), volume, tmp_path / "scan_segmentation.nii.gz")
    flags = [f"--predictions={tmp_path}", f"--images={tmp_path}", f"--output_dir={tmp_path / 'pages'}"]
    assert app.execute(report.main, report.FLAGS, ["kits-report", *flags]) == 0
    assert (tmp_path / "pages/scan.html").exists()


def test_no_case_in_common_is_told_with_the_names_looked_for(folders, capsys):
    volume = Volume(np.zeros((20, 48, 64), np.int16), SPACING_MM)
    write_volume(volume, folders / "others/scan.nii.gz")
    assert run(folders, images="others") == 2
    error = capsys.readouterr().err
    assert error.startswith("kits-report: --images: ") and error.count("\n") == 1
    write_labels(labels(), volume, folders / "others/scan.nii.gz")
    assert run(folders, f"--references={folders / 'others'}") == 2
    error = capsys.readouterr().err
    assert error.startswith("kits-report: --references: ") and error.count("\n") == 1
    assert not (folders / "pages").exists()


def test_no_readable_case_leaves_an_index_that_says_why(folders, capsys):
    for number in range(2):
        (folders / f"data/case_{number:05d}/imaging.nii.gz").write_bytes(b"no volume")
    assert run(folders) == 1
    said = capsys.readouterr()
    assert said.out == f"0 of 2 pages written; {folders / 'pages/index.html'} says why\n"
    assert said.err.count("imaging.nii.gz: not a NIfTI file") == 2


@pytest.mark.parametrize("images", ["nowhere", "predictions"])
def test_nothing_to_show_is_one_line(folders, images, capsys):
    assert run(folders, images=images) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--images" in error
    assert not (folders / "pages").exists()
