"""Prove what kits-predict does where files are in its output folder already."""

import json

import nibabel
import pytest

from tests.cli.predicting import TABLES, image_of, labels_of, names_in, read_csv, run, save
from tests.tiny import small_ct


def content(folder, but=()):
    files = [path for path in folder.iterdir() if path.name not in but]
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_written_cases_are_skipped_unless_overwrite(tmp_path, flags, capfd, monkeypatch):
    """Also where the output folder has become read-only, or a name is no UTF-8."""
    for name in ("a\udcff.nii.gz", "b.nii.gz"):
        save(image_of(small_ct()), tmp_path / "data" / name)
    flags[0] = f"--input={tmp_path / 'data'}"
    assert run(*flags) == 0
    before = content(tmp_path / "out")
    with monkeypatch.context() as patch:
        for name in ("tempfile.TemporaryFile", "kits_tf.cli.predict.load_job"):  # nor looks whether it can write
            patch.setattr(name, lambda *_, **__: pytest.fail("loads networks for nothing"))
        capfd.readouterr()
        assert run(*flags) == 0
    assert "2 of 2 CTs are already written" in capfd.readouterr().out and content(tmp_path / "out") == before
    assert {row["status"] for row in read_csv(tmp_path / "out" / "summary.csv").values()} == {"done"}
    assert run(*flags, "--overwrite") == 0
    after = content(tmp_path / "out")
    assert all(after[name][1] > before[name][1] for name in before if name.endswith(".nii.gz"))


def test_labels_of_other_settings_are_refused(tmp_path, flags, capsys):
    assert run(*flags, "--stage=kidney") == 0
    assert ", tumor" not in capsys.readouterr().out
    said = json.loads((tmp_path / "out" / "ct_segmentation.json").read_text())
    assert (said["tumor_ml"], said["tumors"]) == (None, None)
    before = content(tmp_path / "out", TABLES)
    assert run(*flags) == 1
    said = capsys.readouterr()
    assert "stage kidney, now both" in said.err and "already written" not in said.out
    assert content(tmp_path / "out", TABLES) == before
    (tmp_path / "out" / "ct_segmentation.nii.gz").write_bytes(b"drawn by hand")
    assert run(*flags, "--overwrite") == 0 and labels_of(tmp_path / "out" / "ct_segmentation.nii.gz").any()


def test_labels_of_another_ct_are_not_taken_for_those_of_this_one(tmp_path, flags, capsys):
    """Such as of another patient's folder, where a scanner calls every file alike; in the table, too."""
    assert run(*flags) == 0
    save(image_of(small_ct((10, 60, 80))), tmp_path / "two" / "ct.nii.gz")
    save(image_of(small_ct()), tmp_path / "two" / "other.nii.gz")
    before = content(tmp_path / "out")["ct_segmentation.nii.gz"]
    assert run(f"--input={tmp_path / 'two'}", *flags[1:]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "ct_segmentation.nii.gz: was written for another CT" in line
    assert content(tmp_path / "out")["ct_segmentation.nii.gz"] == before
    table = read_csv(tmp_path / "out" / "summary.csv")
    assert (table["ct.nii.gz"]["status"], table["other.nii.gz"]["status"]) == ("failed", "done")


def test_what_is_missing_beside_labels_is_written_with_the_same_labels(tmp_path, flags, capsys):
    pytest.importorskip("matplotlib")
    out, more = tmp_path / "out", ["--report", "--format=stl", "--probabilities"]
    assert run(*flags) == 0
    before = (out / "ct_segmentation.nii.gz").read_bytes()
    assert run(*flags, *more) == 0
    ends = [".html", ".json", ".nii.gz", *(f"_{name}" for name in ("kidney.stl", "kidney_probability.nii.gz"))]
    ends += [f"_{name}" for name in ("tumor.stl", "tumor_probability.nii.gz")]
    assert names_in(out) == [f"ct_segmentation{end}" for end in ends]
    assert (out / "ct_segmentation.nii.gz").read_bytes() == before
    assert "Not recorded" not in (out / "ct_segmentation.html").read_text()
    capsys.readouterr()
    assert run(*flags, *more) == 0 and "already written" in capsys.readouterr().out
    assert run(*flags, "--overwrite") == 0
    assert "removed ct_segmentation.html, ct_segmentation_kidney.stl" in capsys.readouterr().out
    assert "ct_segmentation.html" not in names_in(out)


def test_kidney_masks_are_told_by_their_content_and_never_replaced(tmp_path, flags, capsys):
    masks, tumor = tmp_path / "masks", [*flags, "--stage=tumor"]
    assert run(flags[0], f"--output_dir={masks}", flags[2], "--stage=kidney") == 0
    assert run(*tumor, f"--kidney_masks={masks}") == 0
    moved = masks.rename(tmp_path / "moved")
    assert run(*tumor, f"--kidney_masks={moved}") == 0
    path = moved / "ct_segmentation.nii.gz"
    erased = labels_of(path).copy()
    erased[:, :, erased.shape[2] // 2 :] = 0
    save(nibabel.Nifti1Image(erased, nibabel.load(path).affine), path)
    capsys.readouterr()
    assert run(*tumor, f"--kidney_masks={moved}") == 1
    assert "other settings (kidney_mask " in capsys.readouterr().err
    before = content(moved)
    tumor[1] = f"--output_dir={tmp_path / 'x' / '..' / 'moved'}"
    assert run(*tumor, f"--kidney_masks={moved}") == 2
    assert "--kidney_masks: " in capsys.readouterr().err and content(moved) == before
