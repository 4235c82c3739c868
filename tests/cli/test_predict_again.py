"""Proves what kits-predict does where labels lie in its output folder already: what is missing, and no more."""

import json

import nibabel
import numpy as np
import pytest

from kits_tf.cli import predict
from tests.cli.predicting import image_of, read_csv, run, save
from tests.tiny import small_ct, write_checkpoint

pytestmark = pytest.mark.usefixtures("load_once")


def test_written_cases_are_skipped_unless_overwrite(tmp_path, checkpoint, capsys):
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    arguments = (f"--input={tmp_path / 'ct.nii.gz'}", f"--output_dir={tmp_path}", f"--checkpoint_dir={checkpoint}")
    assert run(*arguments) == 0
    written = tmp_path / "ct_segmentation.nii.gz"
    first = written.stat().st_mtime_ns
    assert run(*arguments) == 0
    assert written.stat().st_mtime_ns == first and "already written" in capsys.readouterr().out
    assert run(*arguments, "--overwrite") == 0
    assert written.stat().st_mtime_ns > first


def test_labels_of_the_users_own_are_not_replaced_unasked(tmp_path, checkpoint, capsys, monkeypatch):
    save(image_of(small_ct()), tmp_path / "scan.nii.gz")
    own = tmp_path / "scan_segmentation.nii.gz"
    own.write_bytes(b"drawn by hand")
    arguments = (f"--input={tmp_path / 'scan.nii.gz'}", f"--output_dir={tmp_path}", f"--checkpoint_dir={checkpoint}")
    with monkeypatch.context() as patch:
        patch.setattr(predict, "load_segmenter", lambda sources: pytest.fail("loads networks for nothing"))
        assert run(*arguments) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"{own}: is there without its .json, so perhaps not written by this command; --overwrite replaces it"
    ]
    assert own.read_bytes() == b"drawn by hand" and "already written" not in said.out
    assert run(*arguments, "--overwrite") == 0
    assert nibabel.load(own).shape == (12, 60, 80)


def test_labels_of_other_options_or_weights_are_not_taken_for_those_asked_for(tmp_path, checkpoint, capsys):
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    common = (f"--input={tmp_path / 'ct.nii.gz'}", f"--output_dir={tmp_path}")
    trained = f"--checkpoint_dir={checkpoint}"
    assert run(*common, trained, "--stage=kidney") == 0
    assert ", tumor" not in capsys.readouterr().out
    written = tmp_path / "ct_segmentation.nii.gz"
    said = json.loads((tmp_path / "ct_segmentation.json").read_text())
    assert (said["tumor_ml"], said["tumors"]) == (None, None)
    before = written.stat().st_mtime_ns
    assert run(*common, trained) == 1
    assert "other options (stage kidney, now both); --overwrite replaces it" in capsys.readouterr().err
    assert written.stat().st_mtime_ns == before
    assert run(*common, trained, "--overwrite") == 0
    other = write_checkpoint(tmp_path / "other", seed=1)
    assert run(*common, f"--checkpoint_dir={other}") == 1
    assert f"weights of {checkpoint} that are not those of now" in capsys.readouterr().err
    assert run(*common, "--checkpoint_dir=nowhere") == 2  # also where all is written
    assert run(*common, f"--checkpoint_dir={checkpoint},{checkpoint}") == 2
    assert "is named twice" in capsys.readouterr().err


def test_labels_of_another_ct_are_not_taken_for_those_of_this_one(tmp_path, checkpoint, capsys):
    """Such as of another patient's folder, where a scanner calls every file alike."""
    for patient, shape in (("one", (12, 60, 80)), ("two", (10, 60, 80))):
        save(image_of(small_ct(shape)), tmp_path / patient / "ct.nii.gz")
    save(image_of(small_ct()), tmp_path / "two" / "other.nii.gz")
    common = (f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={checkpoint}")
    assert run(f"--input={tmp_path / 'one'}", *common) == 0
    labels = tmp_path / "out" / "ct_segmentation.nii.gz"
    before = labels.read_bytes()
    assert run(f"--input={tmp_path / 'two'}", *common) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{labels}: was written for another CT (shape [12, 60, 80]") and "--overwrite" in line
    assert labels.read_bytes() == before
    table = read_csv(tmp_path / "out" / "summary.csv")
    assert (table["ct.nii.gz"]["status"], table["other.nii.gz"]["status"]) == ("failed", "written")


def test_overwriting_leaves_nothing_that_belongs_to_the_labels_before(tmp_path, checkpoint):
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    arguments = (f"--input={tmp_path / 'ct.nii.gz'}", f"--output_dir={tmp_path}", f"--checkpoint_dir={checkpoint}")
    assert run(*arguments, "--probabilities") == 0
    (tmp_path / "ct_segmentation.html").write_text("of the labels before")
    assert run(*arguments, "--overwrite") == 0
    names = ["ct.nii.gz", "ct_segmentation.json", "ct_segmentation.nii.gz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_nothing_is_written_where_all_is_done(tmp_path, checkpoint, monkeypatch):
    """Such as to an output folder that has become read-only."""
    for name in "ab":
        save(image_of(small_ct()), tmp_path / f"{name}.nii.gz")
    arguments = (f"--input={tmp_path}", f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={checkpoint}")
    assert run(*arguments) == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: pytest.fail("looks whether it can write"))
    assert run(*arguments) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_what_is_lacking_beside_labels_is_written_without_a_network(tmp_path, checkpoint, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    for name in "ab":
        save(image_of(small_ct()), tmp_path / "data" / f"{name}.nii.gz")
    out = tmp_path / "out"
    arguments = (f"--input={tmp_path / 'data'}", f"--output_dir={out}", f"--checkpoint_dir={checkpoint}")
    assert run(*arguments, "--probabilities") == 0
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(predict, "load_segmenter", lambda sources: pytest.fail("loads networks for nothing"))
        capsys.readouterr()
        assert run(*arguments, "--report", "--viewer_files") == 0
        assert "2 of 2 CTs got what was lacking beside their labels" in capsys.readouterr().out
        after = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
        assert {name: after[name] for name in before} == before
        new = {f"{name}_segmentation{suffix}" for name in "ab" for suffix in (".html", ".ctbl", "_labels.txt")}
        assert set(after) - set(before) == new
        assert "Not recorded" not in (out / "a_segmentation.html").read_text()
        assert run(*arguments, "--report", "--probabilities") == 0
        assert "2 of 2 CTs are already written" in capsys.readouterr().out
    (out / "a_segmentation.ctbl").unlink()
    (out / "b_segmentation.html").unlink()
    (out / "b_segmentation.nii.gz").write_bytes(b"damaged")
    assert run(*arguments, "--report", "--viewer_files") == 1
    said = capsys.readouterr()
    assert f"{out / 'b_segmentation.nii.gz'}: not a NIfTI file" in said.err and said.err.count("b_segmentation") == 1
    assert (out / "a_segmentation.ctbl").is_file() and "1 of 1 CTs got what was lacking" in said.out
    statuses = {name: row["status"] for name, row in read_csv(out / "summary.csv").items()}
    assert statuses == {"a.nii.gz": "already written", "b.nii.gz": "failed"}


def test_what_goes_with_labels_that_are_written_again_is_named(tmp_path, checkpoint, capsys):
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    arguments = (f"--input={tmp_path / 'ct.nii.gz'}", f"--output_dir={tmp_path}", f"--checkpoint_dir={checkpoint}")
    assert run(*arguments) == 0
    (tmp_path / "ct_segmentation.html").write_text("of the labels before")
    capsys.readouterr()
    assert run(*arguments, "--probabilities") == 0
    line = "ct_segmentation.nii.gz: removed ct_segmentation.html, of the labels before"
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert not (tmp_path / "ct_segmentation.html").exists()


def test_a_fault_that_is_gone_is_gone_from_the_table(tmp_path, checkpoint):
    for name in "ab":
        save(image_of(small_ct()), tmp_path / "data" / f"{name}.nii.gz")
    arguments = (f"--input={tmp_path / 'data'}", f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={checkpoint}")
    assert run(*arguments) == 0
    assert run(*arguments, "--stage=kidney") == 1
    table = tmp_path / "out" / "summary.csv"
    assert {row["status"] for row in read_csv(table).values()} == {"failed"}
    assert run(*arguments) == 0
    assert {row["status"] for row in read_csv(table).values()} == {"already written"}
    before = table.stat().st_mtime_ns
    assert run(*arguments) == 0
    assert table.stat().st_mtime_ns == before


def test_a_mask_that_changed_in_place_is_noticed_and_one_that_moved_is_not(tmp_path, checkpoint, capsys):
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    common = (f"--input={tmp_path / 'ct.nii.gz'}", f"--checkpoint_dir={checkpoint}")
    assert run(*common, f"--output_dir={tmp_path / 'masks'}", "--stage=kidney") == 0
    tumor = (*common, f"--output_dir={tmp_path / 'out'}", "--stage=tumor")
    assert run(*tumor, f"--kidney_masks={tmp_path / 'masks'}") == 0
    (tmp_path / "masks").rename(tmp_path / "moved")
    assert run(*tumor, f"--kidney_masks={tmp_path / 'moved'}") == 0
    mask = nibabel.load(tmp_path / "moved" / "ct_segmentation.nii.gz")
    erased = np.asarray(mask.dataobj).copy()
    erased[:, :, erased.shape[2] // 2 :] = 0
    save(nibabel.Nifti1Image(erased, mask.affine), tmp_path / "moved" / "ct_segmentation.nii.gz")
    capsys.readouterr()
    assert run(*tumor, f"--kidney_masks={tmp_path / 'moved'}") == 1
    assert "another kidney mask, or this one before it changed" in capsys.readouterr().err


def test_a_ct_that_is_named_twice_is_done_once(tmp_path, checkpoint):
    save(image_of(small_ct()), tmp_path / "case_00007" / "imaging.nii.gz")
    lines = ["case_00007", "case_00007/imaging.nii.gz", "./case_00007/../case_00007"]
    (tmp_path / "list.TXT").write_text("\n".join(lines))
    out = tmp_path / "out"
    assert run(f"--input={tmp_path / 'list.TXT'}", f"--output_dir={out}", f"--checkpoint_dir={checkpoint}") == 0
    assert sorted(path.name for path in out.iterdir()) == ["prediction_00007.json", "prediction_00007.nii.gz"]


def test_labels_corrected_by_hand_get_a_page_and_are_not_replaced_for_probabilities(tmp_path, checkpoint, capsys):
    pytest.importorskip("matplotlib")
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    arguments = (f"--input={tmp_path / 'ct.nii.gz'}", f"--output_dir={tmp_path}", f"--checkpoint_dir={checkpoint}")
    assert run(*arguments) == 0
    path = tmp_path / "ct_segmentation.nii.gz"
    labels = nibabel.load(path)
    corrected = np.asarray(labels.dataobj).copy()
    corrected[corrected == 2] = 1
    nibabel.save(nibabel.Nifti1Image(corrected, labels.affine), path)
    before = path.read_bytes()
    assert run(*arguments, "--report") == 0 and path.read_bytes() == before
    assert (tmp_path / "ct_segmentation.html").is_file()
    assert run(*arguments, "--probabilities") == 1
    assert f"{path}: was changed since it was written" in capsys.readouterr().err
    moved = labels.affine.copy()
    moved[0, 3] += 50
    nibabel.save(nibabel.Nifti1Image(corrected, moved), path)
    (tmp_path / "ct_segmentation.html").unlink()
    assert run(*arguments, "--report") == 1
    assert f"{path}: lies up to 50.00 mm away" in capsys.readouterr().err


def test_masks_are_not_replaced_by_what_is_made_of_them(tmp_path, checkpoint, capsys):
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    save(image_of((small_ct() > 150).astype(np.uint8)), tmp_path / "masks" / "ct_segmentation.nii.gz")
    before = (tmp_path / "masks" / "ct_segmentation.nii.gz").read_bytes()
    arguments = (f"--input={tmp_path / 'ct.nii.gz'}", "--stage=tumor", f"--kidney_masks={tmp_path / 'masks'}")
    assert run(*arguments, f"--output_dir={tmp_path / 'x' / '..' / 'masks'}", f"--checkpoint_dir={checkpoint}") == 2
    assert "--kidney_masks: " in capsys.readouterr().err
    assert (tmp_path / "masks" / "ct_segmentation.nii.gz").read_bytes() == before


def test_the_table_on_disk_is_that_on_the_terminal(tmp_path, checkpoint, capsys):
    for seed, name in enumerate("ab"):
        save(image_of(small_ct(seed=seed)), tmp_path / "data" / f"{name}.nii.gz")
    out = tmp_path / "out"
    common = (f"--output_dir={out}", f"--checkpoint_dir={checkpoint}")
    assert run(f"--input={tmp_path / 'data'}", *common) == 0
    before = read_csv(out / "summary.csv")["a.nii.gz"]["kidney_ml"]
    save(image_of(small_ct((10, 60, 80))), tmp_path / "data" / "a.nii.gz")
    assert run(f"--input={tmp_path / 'data' / 'a.nii.gz'}", "--overwrite", *common) == 0
    capsys.readouterr()
    assert run(f"--input={tmp_path / 'data'}", *common) == 0
    row = read_csv(out / "summary.csv")["a.nii.gz"]
    assert row["kidney_ml"] != before and row["kidney_ml"] in capsys.readouterr().out
    (out / "summary.csv").unlink()
    (out / "summary.csv").mkdir()
    assert run(f"--input={tmp_path / 'data'}", *common) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [f"{out / 'summary.csv'}: Is a directory"] and row["kidney_ml"] in said.out


def test_a_name_that_is_no_utf_8_is_done_and_told(tmp_path, checkpoint):
    for name in ("a\udcff.nii.gz", "b.nii.gz"):
        save(image_of(small_ct()), tmp_path / "data" / name)
    out = tmp_path / "out"
    assert run(f"--input={tmp_path / 'data'}", f"--output_dir={out}", f"--checkpoint_dir={checkpoint}") == 0
    assert {row["status"] for row in read_csv(out / "summary.csv").values()} == {"written"}
