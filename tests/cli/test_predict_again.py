"""Prove what kits-predict does where files are in its output folder already."""

import json

import nibabel
import numpy as np
import pytest

from kits_tf.cli import predict
from tests.cli.predicting import image_of, read_csv, run, save
from tests.tiny import small_ct, write_checkpoint

pytestmark = pytest.mark.usefixtures("load_once")


@pytest.fixture
def flags(tmp_path, checkpoint):
    """Flags to segment `ct.nii.gz` into `out`."""
    save(image_of(small_ct()), tmp_path / "ct.nii.gz")
    return [f"--input={tmp_path / 'ct.nii.gz'}", f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={checkpoint}"]


def content(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_written_cases_are_skipped_unless_overwrite(tmp_path, flags, capsys, monkeypatch):
    """Also where the output folder has become read-only."""
    save(image_of(small_ct(seed=1)), tmp_path / "data" / "b.nii.gz")
    save(image_of(small_ct()), tmp_path / "data" / "a.nii.gz")
    flags[0] = f"--input={tmp_path / 'data'}"
    assert run(*flags) == 0
    before = content(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", lambda **_: pytest.fail("looks whether it can write"))
        patch.setattr(predict, "load_job", lambda *_: pytest.fail("loads networks for nothing"))
        capsys.readouterr()
        assert run(*flags) == 0
    assert "2 of 2 CTs are already written" in capsys.readouterr().out and content(tmp_path / "out") == before
    assert run(*flags, "--overwrite") == 0
    after = content(tmp_path / "out")
    assert all(after[name][1] > before[name][1] for name in before if name.endswith(".nii.gz"))


def test_a_file_of_the_users_own_is_not_replaced_unasked(tmp_path, flags, capsys, monkeypatch):
    own = tmp_path / "ct_segmentation.nii.gz"
    own.write_bytes(b"drawn by hand")
    flags[1] = f"--output_dir={tmp_path}"
    with monkeypatch.context() as patch:
        patch.setattr(predict, "load_job", lambda *_: pytest.fail("loads networks for nothing"))
        assert run(*flags) == 1
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1 and said.err.startswith(f"{own}: ") and "--overwrite" in said.err
    assert own.read_bytes() == b"drawn by hand" and "already written" not in said.out
    assert run(*flags, "--overwrite") == 0
    assert nibabel.load(own).shape == (12, 60, 80)


def test_labels_of_other_settings_or_weights_are_refused(tmp_path, flags, capsys):
    assert run(*flags, "--stage=kidney") == 0
    assert ", tumor" not in capsys.readouterr().out
    said = json.loads((tmp_path / "out" / "ct_segmentation.json").read_text())
    assert (said["tumor_ml"], said["tumors"]) == (None, None)
    before = content(tmp_path / "out")
    assert run(*flags) == 1
    assert "stage kidney, now both" in capsys.readouterr().err and content(tmp_path / "out") == before
    assert run(*flags, "--overwrite") == 0
    flags[2] = f"--checkpoint_dir={write_checkpoint(tmp_path / 'other', seed=1)}"
    assert run(*flags) == 1
    assert "other settings (weights " in capsys.readouterr().err


def test_labels_of_another_ct_are_not_taken_for_those_of_this_one(tmp_path, flags, capsys):
    """Such as of another patient's folder, where a scanner calls every file alike."""
    assert run(*flags) == 0
    save(image_of(small_ct((10, 60, 80))), tmp_path / "two" / "ct.nii.gz")
    save(image_of(small_ct()), tmp_path / "two" / "other.nii.gz")
    before = (tmp_path / "out" / "ct_segmentation.nii.gz").read_bytes()
    assert run(f"--input={tmp_path / 'two'}", *flags[1:]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "ct_segmentation.nii.gz: was written for another CT" in line
    assert (tmp_path / "out" / "ct_segmentation.nii.gz").read_bytes() == before
    table = read_csv(tmp_path / "out" / "summary.csv")
    assert (table["ct.nii.gz"]["status"], table["other.nii.gz"]["status"]) == ("failed", "done")


def test_what_is_missing_beside_labels_is_written_with_the_same_labels(tmp_path, flags, capsys):
    pytest.importorskip("matplotlib")
    assert run(*flags) == 0
    before = (tmp_path / "out" / "ct_segmentation.nii.gz").read_bytes()
    more = ["--report", "--viewer_files", "--probabilities"]
    assert run(*flags, *more) == 0
    ends = [".ctbl", ".html", ".json", ".nii.gz", "_kidney_probability.nii.gz", "_labels.txt"]
    ends.append("_tumor_probability.nii.gz")
    assert sorted(content(tmp_path / "out")) == [f"ct_segmentation{end}" for end in ends]
    assert (tmp_path / "out" / "ct_segmentation.nii.gz").read_bytes() == before
    assert "Not recorded" not in (tmp_path / "out" / "ct_segmentation.html").read_text()
    capsys.readouterr()
    assert run(*flags, *more) == 0 and "already written" in capsys.readouterr().out
    assert run(*flags, "--overwrite") == 0
    assert "removed ct_segmentation.html, ct_segmentation_kidney_probability.nii.gz" in capsys.readouterr().out
    assert f"ct_segmentation{ends[1]}" not in content(tmp_path / "out")


def test_labels_corrected_by_hand_are_done_and_never_replaced_unasked(tmp_path, flags, capsys):
    assert run(*flags) == 0
    path = tmp_path / "out" / "ct_segmentation.nii.gz"
    labels = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.minimum(labels.get_fdata(), 1).astype(np.uint8), labels.affine), path)
    before = content(tmp_path / "out")
    assert run(*flags) == 0 and run(*flags, "--probabilities") == 1
    assert f"{path}: was changed since it was written" in capsys.readouterr().err
    assert content(tmp_path / "out") == before


def test_a_fault_that_is_gone_is_gone_from_the_table_which_is_that_on_the_terminal(tmp_path, flags, capsys):
    for seed, name in enumerate("ab"):
        save(image_of(small_ct(seed=seed)), tmp_path / "data" / f"{name}.nii.gz")
    flags[0], table = f"--input={tmp_path / 'data'}", tmp_path / "out" / "summary.csv"
    assert run(*flags) == 0
    before = content(tmp_path / "out")["summary.csv"]
    assert run(*flags, "--stage=kidney") == 1
    assert {row["status"] for row in read_csv(table).values()} == {"failed"}
    capsys.readouterr()
    assert run(*flags) == 0
    assert table.read_bytes() == before[0] and read_csv(table)["a.nii.gz"]["kidney_ml"] in capsys.readouterr().out
    table.unlink()
    table.mkdir()
    assert run(*flags) == 2
    assert f"{table}: Is a directory" in capsys.readouterr().err


def test_kidney_masks_are_told_by_their_content_and_never_replaced(tmp_path, flags, capsys):
    masks = tmp_path / "masks"
    assert run(flags[0], f"--output_dir={masks}", flags[2], "--stage=kidney") == 0
    assert run(*flags, "--stage=tumor", f"--kidney_masks={masks}") == 0
    moved = masks.rename(tmp_path / "moved")
    assert run(*flags, "--stage=tumor", f"--kidney_masks={moved}") == 0
    mask = nibabel.load(moved / "ct_segmentation.nii.gz")
    erased = np.asarray(mask.dataobj).copy()
    erased[:, :, erased.shape[2] // 2 :] = 0
    save(nibabel.Nifti1Image(erased, mask.affine), moved / "ct_segmentation.nii.gz")
    capsys.readouterr()
    assert run(*flags, "--stage=tumor", f"--kidney_masks={moved}") == 1
    assert "other settings (kidney_mask " in capsys.readouterr().err
    before = content(moved)
    flags[1] = f"--output_dir={tmp_path / 'x' / '..' / 'moved'}"
    assert run(*flags, "--stage=tumor", f"--kidney_masks={moved}") == 2
    assert "--kidney_masks: " in capsys.readouterr().err and content(moved) == before


def test_a_name_that_is_no_utf_8_is_done_and_told(tmp_path, flags):
    for name in ("a\udcff.nii.gz", "b.nii.gz"):
        save(image_of(small_ct()), tmp_path / "data" / name)
    assert run(f"--input={tmp_path / 'data'}", *flags[1:]) == 0
    assert {row["status"] for row in read_csv(tmp_path / "out" / "summary.csv").values()} == {"done"}
