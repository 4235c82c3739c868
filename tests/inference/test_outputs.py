"""Prove when a CT counts as done, as not done, and when what is there must be left alone; and what is written."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from kits_tf.errors import InputError
from kits_tf.inference import outputs
from kits_tf.inference.inputs import from_file
from kits_tf.inference.outputs import hu_warnings, is_done
from kits_tf.io.volume import Volume, read_labels, read_volume, write_labels, write_volume
from tests.tiny import small_ct, write_checkpoint

SETTINGS = {"stage": "both", "fusion": "union", "weights": "0123"}
LABELS = np.ones((4, 5, 6), np.uint8)


@pytest.fixture
def source(tmp_path):
    write_volume(Volume(np.zeros((4, 5, 6), np.int16), (3.0, 0.7, 0.8)), tmp_path / "data" / "ct.nii.gz")
    return from_file(tmp_path / "data" / "ct.nii.gz")


@pytest.fixture
def out(source, tmp_path):
    """An output folder with the labels of `source`."""
    write(source, tmp_path / "out")
    return tmp_path / "out"


def write(source, folder, settings=SETTINGS, writers=()):
    ct = source.read()
    sidecar = outputs.sidecar_of(source, ct, LABELS, settings, engine="none", seconds={"read": 1.0})
    return outputs.write_case(outputs.Case(source, ct, LABELS, sidecar), folder, writers)


def change_sidecar(out, **changes):
    path = out / "ct_segmentation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_labels_and_sidecar_are_done_also_for_a_copy_of_the_ct(source, out, tmp_path):
    copy = from_file(pathlib.Path(shutil.copy(source.path, tmp_path / "ct.nii.gz")))
    assert is_done(source, out, SETTINGS) and is_done(copy, out, SETTINGS)
    sidecar = json.loads((out / "ct_segmentation.json").read_text())
    assert sidecar["seconds"]["total"] == pytest.approx(1.0 + sidecar["seconds"]["write"], abs=2e-3)
    assert sidecar["kidney_ml"] == pytest.approx(120 * 3 * 0.7 * 0.8 / 1000, abs=1e-3)


def test_nothing_and_a_sidecar_alone_are_to_be_done(source, out, tmp_path):
    assert not is_done(source, tmp_path / "empty", SETTINGS)
    (out / "ct_segmentation.nii.gz").unlink()
    assert not is_done(source, out, SETTINGS)


@pytest.mark.parametrize("name", ["ct_segmentation.nii.gz", "ct_segmentation.html", "ct_segmentation.dcm"])
def test_a_file_without_a_sidecar_is_left_alone(source, tmp_path, name):
    (tmp_path / name).write_text("the user's own")
    with pytest.raises(InputError, match=rf"{name}: has no sidecar .*--overwrite"):
        is_done(source, tmp_path, SETTINGS)


@pytest.mark.parametrize("content", ["", "{}", "[]", "no JSON", '{"shape": [1, 1, 1]}', "[" * 200_000])
def test_labels_with_another_json_are_left_alone(source, out, content):
    (out / "ct_segmentation.json").write_text(content)
    with pytest.raises(InputError, match=r"ct_segmentation.nii.gz: has no sidecar"):
        is_done(source, out, SETTINGS)


def test_labels_of_another_ct_of_that_name_are_left_alone(out, tmp_path):
    write_volume(Volume(LABELS.astype(np.int16), (3.0, 0.7, 0.8)), tmp_path / "ct.nii.gz")  # the same grid
    with pytest.raises(InputError, match="was written for another CT"):
        is_done(from_file(tmp_path / "ct.nii.gz"), out, SETTINGS)


@pytest.mark.parametrize(
    "then, said",
    [
        ({"stage": "kidney"}, "stage kidney, now both"),
        ({"stage": [1, None]}, "stage 1,None, now both"),
        ({"fusion": None}, "fusion None, now union"),
        ({"weights": "4567"}, "weights 4567, now 0123"),
    ],
)
def test_labels_of_other_settings_are_left_alone(source, out, then, said):
    change_sidecar(out, settings=SETTINGS | then)
    with pytest.raises(InputError, match=rf"other settings \({said}\); --overwrite"):
        is_done(source, out, SETTINGS)


def test_what_is_missing_beside_labels_is_to_be_done(source, out):
    assert not is_done(source, out, SETTINGS, [".html"])
    (out / "ct_segmentation.html").touch()
    assert is_done(source, out, SETTINGS, [".html"])


def test_labels_changed_by_hand_are_done_and_never_lost_and_damaged_ones_are_named(source, out):
    path = out / "ct_segmentation.nii.gz"
    write_labels(0 * LABELS, read_volume(source.path), path)
    assert is_done(source, out, SETTINGS)
    with pytest.raises(InputError, match="was changed since it was written, and ct_segmentation.html"):
        is_done(source, out, SETTINGS, [".html"])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="ct_segmentation.nii.gz: .*; --overwrite"):
        is_done(source, out, SETTINGS)


def test_writing_again_removes_what_belongs_to_the_labels_before(source, out):
    for suffix in (".html", ".dcm", ".ctbl"):
        (out / f"ct_segmentation{suffix}").touch()
    removed = write(source, out, writers=[lambda path, case: outputs.beside(path, ".dcm").write_text("new")])
    assert removed == ["ct_segmentation.html"]
    assert {path.suffix for path in out.iterdir()} == {".gz", ".json", ".dcm", ".ctbl"}


@pytest.mark.parametrize("stopped", ["replace", "write_text"])
def test_an_interrupted_run_resumes_and_leaves_nothing_half_written(source, tmp_path, monkeypatch, stopped):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace" if stopped == "replace" else "kits_tf.files.write_text", stop)
        with pytest.raises(KeyboardInterrupt):
            write(source, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()) and not is_done(source, tmp_path / "out", SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        write(source, tmp_path / "out", writers=[stop])
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "ct_segmentation.nii.gz")[0], LABELS)


def test_the_settings_are_those_that_decide_the_labels(tmp_path):
    one, other = write_checkpoint(tmp_path / "one"), write_checkpoint(tmp_path / "other", seed=1)

    def settings(*folders, stage="both", planes=("sagittal", "axial"), fusion="union"):
        return outputs.network_settings(folders, stage, planes, fusion, "none")

    found = settings(one)
    assert found == json.loads(json.dumps(found)) == settings(one, planes=["axial", "sagittal"])
    assert settings(one, other) == settings(other, one) != found
    assert settings(one, stage="tumor") == settings(one, stage="tumor", fusion="mean")
    copy = shutil.copytree(one, tmp_path / "copy")
    assert settings(copy) == found
    with open(copy / "tumor" / "model.weights.h5", "ab") as file:
        file.write(b"trained on")
    assert settings(copy)["weights"] != found["weights"]
    assert settings(copy, stage="kidney") == settings(one, stage="kidney")
    (copy / "kidney_axial" / "model.weights.h5").unlink()
    with pytest.raises(InputError, match="model.weights.h5: no such file"):
        settings(copy)


CT = small_ct((12, 80, 80))
CORNERS = np.hypot(*np.meshgrid(np.linspace(-1, 1, 80), np.linspace(-1, 1, 80))) > 1


@pytest.mark.parametrize("padding", [None, -2000, 63536])
@pytest.mark.parametrize("shift", [0, 1024, -1024])
def test_hu_that_are_shifted_are_warned_of(shift, padding):
    hu = CT.astype(np.int32) + shift
    if padding is not None:
        hu = np.where(CORNERS, padding, hu)
    assert bool(hu_warnings(hu)) == bool(shift or padding == 63536)


@pytest.mark.parametrize("hu", [(CT > 0).astype(np.uint8), np.full_like(CT, -1000), CT / 1000.0], ids=str)
def test_what_is_no_ct_is_warned_of(hu):
    assert len(hu_warnings(hu)) == 1
