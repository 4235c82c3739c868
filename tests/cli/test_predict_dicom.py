"""kits-predict on a DICOM series: the labels of the same NIfTI, a DICOM SEG, a page, and no word about the patient."""

import json

import nibabel
import numpy as np
import pytest

pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")

from kits_tf.io.volume import Volume, working_affine, write_volume  # noqa: E402
from tests.cli.predicting import SPACING_MM, run  # noqa: E402
from tests.io.dicom_files import PATIENT_ID, images, write  # noqa: E402
from tests.tiny import small_ct  # noqa: E402

HU = np.maximum(small_ct(), -1024)


def test_dicom_and_nifti_of_one_volume(tmp_path, checkpoint, capfd):
    pytest.importorskip("matplotlib")
    folder = write(images(HU, SPACING_MM, origin=(5, 6, 7)), tmp_path / "data" / "mustermann-erika")
    write_volume(Volume(HU, SPACING_MM, working_affine(SPACING_MM, (-5, -6, 7))), tmp_path / "ct.nii.gz")
    out = [f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={checkpoint}", "--report", "--viewer_files"]
    assert run(f"--input={folder}", *out) == 0
    assert run(f"--input={tmp_path / 'ct.nii.gz'}", *out) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    (stem,) = {name.split("_segmentation")[0] for name in names} - {"ct"}
    suffixes = [".ctbl", ".dcm", ".html", ".json", ".nii.gz", "_labels.txt"]
    assert [name for name in names if name.startswith(stem)] == [f"{stem}_segmentation{end}" for end in suffixes]
    ours, same = (nibabel.load(tmp_path / "out" / f"{name}_segmentation.nii.gz") for name in (stem, "ct"))
    assert np.asarray(ours.dataobj).any()
    np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(same.dataobj))
    np.testing.assert_allclose(ours.affine, same.affine, atol=1e-5)

    assert json.loads((tmp_path / "out" / f"{stem}_segmentation.json").read_text())["input"] == stem
    said = "".join(capfd.readouterr()) + stem
    said += "".join((tmp_path / "out" / name).read_text() for name in names if name.endswith(("json", "html", "txt")))
    assert "mustermann" not in said.lower() and PATIENT_ID not in said
    assert pydicom.dcmread(tmp_path / "out" / f"{stem}_segmentation.dcm").PatientID == PATIENT_ID


def test_all_series_of_a_folder_are_segmented_or_the_one_that_is_named(tmp_path, checkpoint, capsys):
    second = images(HU, SPACING_MM)
    for image in second:
        image.SeriesNumber = 8
    gap = images(HU, SPACING_MM)
    for image in gap:
        image.SeriesNumber = 9
    folder = write(images(HU, SPACING_MM) + second + gap[:3] + gap[5:], tmp_path / "ct")
    common = [f"--input={folder}", f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={checkpoint}"]
    assert run(*common, "--series=8") == 0
    assert [path.name for path in (tmp_path / "out").glob("*.dcm")] == ["ct_8_segmentation.dcm"]
    assert run(*common) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "2 slices are missing" in captured.err
    assert sorted(path.name for path in (tmp_path / "out").glob("*.dcm")) == [
        "ct_3_segmentation.dcm",
        "ct_8_segmentation.dcm",
    ]


def test_a_list_is_done_but_for_its_damaged_series(tmp_path, checkpoint, capsys):
    write(images(HU, SPACING_MM), tmp_path / "good")
    folder = write(images(HU, SPACING_MM), tmp_path / "mustermann")
    victim = next(folder.iterdir())
    victim.write_bytes(victim.read_bytes()[:400])
    (tmp_path / "list.txt").write_text("mustermann\ngood\n")
    out = tmp_path / "out"
    assert run(f"--input={tmp_path / 'list.txt'}", f"--output_dir={out}", f"--checkpoint_dir={checkpoint}") == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "damaged" in captured.err
    assert "mustermann" not in (captured.out + captured.err + (out / "summary.csv").read_text()).lower()
    assert (out / "good_segmentation.dcm").is_file()


def test_messages_about_files_in_the_patients_folder_name_no_patient(tmp_path, checkpoint, capsys):
    folder = write(images(HU, SPACING_MM), tmp_path / "mustermann")
    flags = (f"--input={folder}", f"--output_dir={folder}", f"--checkpoint_dir={checkpoint}")
    assert run(*flags) == 0
    (path,) = folder.glob("*.json")
    path.unlink()
    assert run(*flags) == 1
    (tmp_path / "masks").mkdir()
    assert (
        run(flags[0], f"--output_dir={tmp_path}", *flags[2:], "--stage=tumor", f"--kidney_masks={tmp_path / 'masks'}")
        == 1
    )
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{path.with_suffix('.nii.gz').name}: has no sidecar")
    assert "should be the kidney mask of series_" in second and "mustermann" not in first + second


def test_another_series_of_the_same_folder_name_is_not_taken_for_this_one(tmp_path, checkpoint, capsys):
    out = [f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={checkpoint}"]
    assert run(f"--input={write(images(HU, SPACING_MM), tmp_path / 'one' / 'ct')}", *out) == 0
    assert run(f"--input={write(images(HU, SPACING_MM), tmp_path / 'two' / 'ct')}", *out) == 1  # of UIDs of its own
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "ct_segmentation.nii.gz: was written for another CT" in error


def test_a_dicom_seg_that_is_lost_is_written_again(tmp_path, checkpoint):
    flags = (f"--input={write(images(HU, SPACING_MM), tmp_path / 'ct')}", f"--output_dir={tmp_path / 'out'}")
    assert run(*flags, f"--checkpoint_dir={checkpoint}") == 0
    path = tmp_path / "out" / "ct_segmentation.dcm"
    before = pydicom.dcmread(path).pixel_array
    path.unlink()
    assert run(*flags, f"--checkpoint_dir={checkpoint}") == 0
    np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, before)
