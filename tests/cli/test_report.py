"""kits-report writes linked pages and an index; bad cases are named and stop no other."""

import importlib.util
import json
import os

import numpy as np
import pytest

from kits_tf import files
from kits_tf.cli import app, report
from kits_tf.io.volume import Volume, read_volume, write_labels, write_volume

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


def page(folders, name):
    return (folders / f"pages/{name}.html").read_text()


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_prepared_folder_serves_as_images_and_references_and_selects_a_split(prepared, tmp_path):
    for number in range(4):
        volume = read_volume(prepared.parent / f"raw/case_{number:05d}/imaging.nii.gz")
        write_labels(
            (volume.hu > 150).astype(np.uint8), volume, tmp_path / f"predictions/prediction_{number:05d}.nii.gz"
        )
    both = [f"--references={prepared}", "--split=validation"]
    assert run(tmp_path, *both, images=prepared) == 0
    index = json.loads((prepared / "dataset.json").read_text())["cases"]
    names = {f"{case['id']}.html" for case in index if case["split"] == "validation"}
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {*names, "index.html"} and len(names) == 2
    assert "Dice" in page(tmp_path, next(iter(names)).removesuffix(".html"))


def test_pages_link_to_their_neighbours_and_the_index(folders):
    assert run(folders, f"--references={folders / 'data'}") == 0
    assert sorted(path.name for path in (folders / "pages").iterdir()) == [
        "case_00000.html", "case_00001.html", "index.html"
    ]  # fmt: skip
    first, second, index = (page(folders, name) for name in ("case_00000", "case_00001", "index"))
    # the icon, two planes of three, four surfaces, and four slices of the tumor; then also six planes of errors
    assert (first.count("data:image/jpeg;base64,"), second.count("data:image/jpeg;base64,")) == (15, 21)
    for text in ("Left and right", "found", "openvino", "total 1.5", "1.0000", "&lt;script&gt;", 'href="index.html"'):
        assert text in first, text
    first, second = (page(folders, name) for name in ("case_00001", "case_00000"))  # the worse one first
    assert '<a rel="next" href="case_00000.html">' in first and 'rel="prev"' not in first
    assert '<a rel="prev" href="case_00001.html">' in second and 'rel="next"' not in second
    assert "Not recorded" in first and index.count("data:image/jpeg;base64,") == 2
    assert index.index("case_00001.html") < index.index("case_00000.html")  # the worse one first


def test_pages_without_the_viewer_lack_nothing_else(folders):
    assert run(folders) == 0
    whole = page(folders, "case_00001")
    assert run(folders, "--noviewer") == 0
    small = page(folders, "case_00001")
    assert 'id="viewer-ct"' in whole and 'id="viewer-ct"' not in small
    assert small.count("data:image/jpeg") == whole.count("data:image/jpeg") and len(small) < len(whole)


def test_without_references_there_are_no_scores(folders):
    assert run(folders) == 0
    assert "Against the reference" not in page(folders, "case_00001") and "Dice" not in page(folders, "index")


def test_figure_1_shows_the_cases_asked_for(folders, capsys):
    image = pytest.importorskip("matplotlib.image")
    references = f"--references={folders / 'data'}"
    assert run(folders, references, "--figure1=case_00001,case_00000") == 0
    height, width, _ = image.imread(folders / "pages/figure1.png").shape
    assert 0.4 < height / width < 0.6  # two rows of three bodies of 80 x 112 mm, and titles
    capsys.readouterr()
    assert run(folders, references, "--figure1=case_00007") == 2
    assert "--figure1: must be cases with a reference (case_00000, case_00001)" in one_line(capsys)
    assert run(folders, "--figure1=case_00000") == 2
    assert "--figure1: requires --references" in one_line(capsys)


def test_bad_cases_are_named_and_the_others_written(folders, capsys):
    (folders / "data/case_00001/imaging.nii.gz").write_bytes(b"no volume")
    (folders / "predictions/extra.nii.gz").write_bytes(b"")
    assert run(folders) == 1
    assert not (folders / "pages/case_00001.html").exists() and 'rel="next"' not in page(folders, "case_00000")
    lines = [line for line in capsys.readouterr().err.splitlines() if "Writing" not in line]
    assert len(lines) == 2
    assert any("case_00001/imaging.nii.gz: not a NIfTI file" in line for line in lines)
    assert any("no CT for it" in line for line in lines)
    assert "not a NIfTI file" in page(folders, "index")
    (folders / "data/case_00000/imaging.nii.gz").write_bytes(b"no volume")
    assert run(folders) == 1
    assert capsys.readouterr().out == f"0 of 3 pages written; {folders / 'pages/index.html'} says why\n"


def test_scans_beside_their_results_and_a_name_that_is_not_utf8(tmp_path):
    volume = Volume(np.zeros((20, 48, 64), np.int16), SPACING_MM)
    for name in ("scan", os.fsdecode(b"niere_\xfc")):
        write_volume(volume, tmp_path / f"{name}.nii.gz")
        write_labels(labels() * (name == "scan"), volume, tmp_path / f"{name}_segmentation.nii.gz")
    flags = [f"--predictions={tmp_path}", f"--images={tmp_path}", f"--output_dir={tmp_path / 'pages'}"]
    assert app.execute(report.main, report.FLAGS, ["kits-report", *flags]) == 0
    assert "No kidney found." in page(tmp_path, name)  # that of empty labels
    assert 'href="niere_%FC.html"' in page(tmp_path, "index") and 'href="niere_%FC.html"' in page(tmp_path, "scan")


def test_one_file_with_one_ct_whatever_its_name(folders):
    (folders / "data/case_00001/imaging.nii.gz").rename(folders / "other.nii.gz")
    flags = [f"--predictions={folders / 'predictions/prediction_00001.nii.gz'}"]
    flags += [f"--images={folders / 'other.nii.gz'}", f"--output_dir={folders / 'pages'}"]
    assert app.execute(report.main, report.FLAGS, ["kits-report", *flags]) == 0
    assert (folders / "pages/case_00001.html").exists()


def test_cts_of_a_tree_or_a_list_are_found_by_content_not_by_name(folders):
    """The sidecars have the digests of CTs that lie elsewhere, one under the name of the other."""
    for number in range(2):
        ct = folders / f"data/case_{number:05d}/imaging.nii.gz"
        hu = read_volume(ct).hu + np.int16(number)
        moved = folders / f"archive/p/{1 - number}/case_{1 - number:05d}.nii.gz"
        write_volume(Volume(hu, SPACING_MM), moved)
        sidecar = folders / f"predictions/prediction_{number:05d}.json"
        sidecar.write_text(json.dumps({"input_digest": files.digest(moved), "input": f"number {number}"}))
    (folders / "archive/broken.nii.gz").write_bytes(b"")
    (folders / "archive/notes.txt").write_text("no CT")
    (folders / "list.txt").write_text("# two\narchive/p/0\narchive/p/1\n")
    for images in ("archive", "list.txt"):
        assert run(folders, images=images) == 0
        for number in range(2):  # HU of the kidneys are 31 and, one higher, 32
            text = page(folders, f"case_{number:05d}")
            assert f'<td>kidney without tumor</td><td data-head="mean">{31 + number}</td>' in text


@pytest.mark.parametrize("flag", ["images", "references"])
@pytest.mark.parametrize("folder", ["nowhere", "empty", "others"])
def test_without_anything_in_common_there_is_one_line(folders, folder, flag, capsys):
    (folders / "empty").mkdir()
    write_labels(labels(), Volume(np.zeros((20, 48, 64), np.int16), SPACING_MM), folders / "others/scan.nii.gz")
    assert run(folders, f"--{flag}={folders / folder}") == 2
    assert f"--{flag}: " in one_line(capsys) and not (folders / "pages").exists()


def test_without_a_library_the_extra_is_named(folders, capsys, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name))
    assert run(folders) == 2
    assert "matplotlib" in (error := one_line(capsys)) and "extra `report`" in error
