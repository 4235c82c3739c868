"""kits-predict on a DICOM series: the labels of the same NIfTI, a DICOM SEG, a page, and no word about the patient."""

import json

import nibabel
import numpy as np
import pytest

pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")

from kits_tf.io.volume import Volume, working_affine, write_volume  # noqa: E402
from tests.cli.predicting import SPACING_MM, labels_of, names_in, run  # noqa: E402
from tests.io.dicom_files import PATIENT_ID, images, write  # noqa: E402
from tests.tiny import small_ct  # noqa: E402

HU = np.maximum(small_ct(), -1024)


@pytest.fixture
def predict(tmp_path, identity):
    """Runs kits-predict on a path with the output folder `out`."""
    flags = [f"--output_dir={tmp_path / 'out'}", f"--checkpoint_dir={identity}"]
    return lambda path, *more: run(f"--input={path}", *flags, *more)


def test_dicom_and_nifti_of_one_volume(tmp_path, predict, capfd):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    folder = write(images(HU, SPACING_MM, origin=(5, 6, 7)), tmp_path / "data" / "mustermann-erika")
    write_volume(Volume(HU, SPACING_MM, working_affine(SPACING_MM, (-5, -6, 7))), tmp_path / "ct.nii.gz")
    for path in (folder, tmp_path / "ct.nii.gz"):
        assert predict(path, "--report") == 0
    (stem,) = {name.split("_segmentation")[0] for name in names_in(out)} - {"ct"}
    names = [f"{stem}_segmentation{end}" for end in (".dcm", ".html", ".json", ".nii.gz")]
    assert [name for name in names_in(out) if name.startswith(stem)] == names
    ours, same = (out / f"{name}_segmentation.nii.gz" for name in (stem, "ct"))
    assert labels_of(ours).any()
    np.testing.assert_array_equal(labels_of(ours), labels_of(same))
    np.testing.assert_allclose(nibabel.load(ours).affine, nibabel.load(same).affine, atol=1e-5)

    assert json.loads((out / f"{stem}_segmentation.json").read_text())["input"] == stem
    said = "".join(capfd.readouterr()) + stem
    said += "".join((out / name).read_text() for name in names if name.endswith(("json", "html")))
    assert "mustermann" not in said.lower() and PATIENT_ID not in said
    assert pydicom.dcmread(out / f"{stem}_segmentation.dcm").PatientID == PATIENT_ID


def test_all_series_of_a_folder_are_segmented_or_the_one_that_is_named(tmp_path, predict, capsys):
    """The third lacks two slices; localizers are skipped."""
    made = {number: images(HU, SPACING_MM) for number in (3, 8, 9, 10)}
    for number, series in made.items():
        for image in series:
            image.SeriesNumber = number
            image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if number == 10 else "AXIAL"]
    folder = write([*made[3], *made[8], *made[9][:3], *made[9][5:], *made[10][:2]], tmp_path / "ct")
    assert predict(folder, "--series=8") == 0
    assert [path.name for path in (tmp_path / "out").glob("*.dcm")] == ["ct_8_segmentation.dcm"]
    capsys.readouterr()
    assert predict(folder) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "2 slices are missing" in said.err
    assert f"skipped (not a CT): {folder}: series 10, localizer (2 images)\n" in said.out
    names = [name for name in names_in(tmp_path / "out") if name.endswith(".dcm")]
    assert names == ["ct_3_segmentation.dcm", "ct_8_segmentation.dcm"]


def test_the_notice_of_the_weights_is_said_once_and_is_in_every_output(tmp_path, identity, predict, capsys):
    """A notice in markup and beyond ASCII, which DICOM may not know."""
    pytest.importorskip("matplotlib")
    folder, out = write(images(HU, SPACING_MM), tmp_path / "ct"), tmp_path / "out"
    assert predict(folder) == 0
    assert capsys.readouterr().err == "" and json.loads(next(out.glob("*.json")).read_text())["notice"] is None
    (identity / "notice.txt").write_text("Learned from <b>Zürich</b>:\ntumors need an eye.\n", encoding="utf-8")
    write_volume(Volume(HU, SPACING_MM), tmp_path / "all" / "other.nii.gz")
    folder.rename(tmp_path / "all" / "ct")
    assert predict(tmp_path / "all", "--report", "--overwrite") == 0
    notice = "Learned from <b>Zürich</b>: tumors need an eye."
    err = capsys.readouterr().err  # after half a minute, it has progress too
    assert err.startswith(f"notice: {notice}\n") and err.count("notice") == 1
    assert [json.loads(path.read_text())["notice"] for path in out.glob("*.json")] == [notice] * 2
    for path in out.glob("*.html"):
        assert path.read_text().count("Learned from &lt;b&gt;Zürich&lt;/b&gt;: tumors need an eye.") == 1
    (path,) = out.glob("*.dcm")
    described = [segment.SegmentDescription for segment in pydicom.dcmread(path).SegmentSequence]
    assert described == [notice.replace("ü", "?")] * 2


def test_messages_about_files_in_the_patients_folder_name_no_patient(tmp_path, predict, capsys):
    folder = write(images(HU, SPACING_MM), tmp_path / "mustermann")
    inside, masks = f"--output_dir={folder}", tmp_path / "masks"
    assert predict(folder, inside) == 0
    (path,) = folder.glob("*.json")
    path.unlink()
    masks.mkdir()
    assert predict(folder, inside) == predict(folder, "--stage=tumor", f"--kidney_masks={masks}") == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{path.with_suffix('.nii.gz').name}: has no sidecar")
    assert f"should be the kidney mask of {tmp_path / 'series_'}" in second and "mustermann" not in first + second


def test_another_series_of_the_same_folder_name_is_not_taken_for_this_one(tmp_path, predict, capsys):
    """But a DICOM SEG that is lost is written again."""
    folder, seg = write(images(HU, SPACING_MM), tmp_path / "one" / "ct"), tmp_path / "out" / "ct_segmentation.dcm"
    assert predict(folder) == 0
    assert predict(write(images(HU, SPACING_MM), tmp_path / "two" / "ct")) == 1  # of UIDs of its own
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "ct_segmentation.nii.gz: was written for another CT" in error
    before = pydicom.dcmread(seg).pixel_array
    seg.unlink()
    assert predict(folder) == 0
    np.testing.assert_array_equal(pydicom.dcmread(seg).pixel_array, before)
