"""Prove when a CT counts as done, as not done, and when what is there must be left alone; and what is written."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest

from kits_tf import config
from kits_tf.config import PLANES
from kits_tf.errors import InputError
from kits_tf.inference import outputs
from kits_tf.inference.inputs import from_file
from kits_tf.inference.outputs import blank_warnings, hu_warnings, is_done
from kits_tf.io.volume import Volume, read_labels, read_volume, write_labels, write_volume
from tests.identity import identity_checkpoint
from tests.tiny import small_ct

SETTINGS = {"stage": "both", "fusion": "union", "weights": "0123"}
LABELS = np.ones((4, 5, 6), np.uint8)
NAME = "ct_segmentation.nii.gz"


@pytest.fixture
def source(tmp_path):
    write_volume(Volume(np.zeros((4, 5, 6), np.int16), (3.0, 0.7, 0.8)), tmp_path / "data" / "ct.nii.gz")
    return from_file(tmp_path / "data" / "ct.nii.gz")


@pytest.fixture
def out(source, tmp_path):
    """An output folder with the labels of `source`."""
    write(source, tmp_path / "out")
    return tmp_path / "out"


def write(source, folder, writers=()):
    ct = source.read()
    sidecar = outputs.sidecar_of(source, ct, LABELS, SETTINGS, engine="none", seconds={"read": 1.0})
    return outputs.write_case(outputs.Case(source, ct, LABELS, sidecar), folder, writers)


def test_labels_and_sidecar_are_done_also_for_a_copy_of_the_ct(source, out, tmp_path):
    copy = from_file(pathlib.Path(shutil.copy(source.path, tmp_path / "ct.nii.gz")))
    assert is_done(source, out, SETTINGS) and is_done(copy, out, SETTINGS)
    sidecar = json.loads((out / "ct_segmentation.json").read_text())
    assert sidecar["seconds"]["total"] == pytest.approx(1.0 + sidecar["seconds"]["write"], abs=2e-3)
    assert sidecar["kidney_ml"] == pytest.approx(120 * 3 * 0.7 * 0.8 / 1000, abs=1e-3)


def test_nothing_a_sidecar_alone_and_what_is_missing_beside_labels_are_to_be_done(source, out, tmp_path):
    assert not is_done(source, tmp_path / "empty", SETTINGS)
    assert not is_done(source, out, SETTINGS, [".html"])
    (out / "ct_segmentation.html").touch()
    assert is_done(source, out, SETTINGS, [".html"])
    (out / NAME).unlink()
    assert not is_done(source, out, SETTINGS)


@pytest.mark.parametrize("content", ["", "{}", "[]", "no JSON", '{"shape": [1, 1, 1]}'])
def test_files_without_a_sidecar_are_left_alone(source, out, content):
    (out / "ct_segmentation.json").write_text(content)
    for suffix in (".nii.gz", ".json", ".html"):
        (out / "ct_segmentation.html").touch()
        with pytest.raises(InputError, match=f"ct_segmentation{suffix}: has no sidecar .*--overwrite"):
            is_done(source, out, SETTINGS)
        (out / f"ct_segmentation{suffix}").unlink()


def test_labels_of_another_ct_of_that_name_or_of_other_settings_are_left_alone(source, out, tmp_path):
    for name, value in (("stage", "kidney"), ("fusion", None), ("weights", "4567")):
        with pytest.raises(InputError, match=rf"other settings \({name} {SETTINGS[name]}, now {value}\); --overwrite"):
            is_done(source, out, SETTINGS | {name: value})
    write_volume(Volume(LABELS.astype(np.int16), (3.0, 0.7, 0.8)), tmp_path / "ct.nii.gz")  # the same grid
    with pytest.raises(InputError, match="was written for another CT"):
        is_done(from_file(tmp_path / "ct.nii.gz"), out, SETTINGS)


def test_labels_changed_by_hand_are_done_and_never_lost_and_damaged_ones_are_named(source, out):
    write_labels(0 * LABELS, read_volume(source.path), out / NAME)
    assert is_done(source, out, SETTINGS)
    with pytest.raises(InputError, match="was changed since it was written, and ct_segmentation.html"):
        is_done(source, out, SETTINGS, [".html"])
    (out / NAME).write_bytes((out / NAME).read_bytes()[:-9])
    with pytest.raises(InputError, match=f"{NAME}: .*; --overwrite"):
        is_done(source, out, SETTINGS)


@pytest.mark.parametrize("stopped", ["os.replace", "kits_tf.files.write_text"])
def test_an_interrupted_run_resumes_and_leaves_nothing_half_written(source, tmp_path, monkeypatch, stopped):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stopped, stop)
        write(source, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()) and not is_done(source, tmp_path / "out", SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        write(source, tmp_path / "out", writers=[stop])
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / NAME)[0], LABELS)


def test_the_fusion_in_the_settings_is_the_checkpoints_own_unless_given(tmp_path):
    one = identity_checkpoint(tmp_path)
    for plane in PLANES:
        path = one / f"kidney_{plane}" / "config.json"
        config.save(dataclasses.replace(config.load(path), fusion="majority"), path)
    for given, used in ((None, "majority"), ("mean", "mean"), ("union", "union")):
        assert outputs.network_settings([one], "both", PLANES, given, "none")["fusion"] == used


def test_the_settings_are_those_that_decide_the_labels(tmp_path):
    one, other = (identity_checkpoint(tmp_path / name) for name in ("one", "other"))
    (other / "tumor" / "model.weights.h5").write_bytes(b"trained on")

    def settings(*folders, stage="both", planes=("sagittal", "axial"), fusion="union"):
        return outputs.network_settings(folders, stage, planes, fusion, "none")

    found = settings(one)
    assert found == json.loads(json.dumps(found)) == settings(one, planes=["axial", "sagittal"])
    assert found == settings(shutil.copytree(one, tmp_path / "copy"))
    assert settings(one, other) == settings(other, one) != found
    assert settings(one, stage="tumor") == settings(one, stage="tumor", fusion="mean")
    assert settings(other)["weights"] != found["weights"]
    assert settings(other, stage="kidney") == settings(one, stage="kidney")
    (other / "kidney_axial" / "model.weights.h5").unlink()
    with pytest.raises(InputError, match="model.weights.h5: no such file"):
        settings(other)


CT = small_ct((12, 80, 80)).astype(np.int32)
CORNERS = np.hypot(*np.meshgrid(np.linspace(-1, 1, 80), np.linspace(-1, 1, 80))) > 1
PADDED = [np.where(CORNERS, padding, CT + shift) for padding, shift in ((-2000, 1024), (63536, 1024), (63536, 0))]


def test_blank_slices_between_others_are_warned_of():
    assert blank_warnings(CT) == blank_warnings(np.where(np.arange(12)[:, None, None] < 3, -1000, CT)) == []
    assert blank_warnings(np.zeros_like(CT)) == []
    for lost, said in (([5], "1 slice between"), ([2, 3, 7], "3 slices between")):
        hu = CT.copy()
        hu[lost] = 0
        assert blank_warnings(hu)[0].startswith(said)


def test_what_is_no_ct_or_shifted_is_warned_of():
    for hu in (*PADDED, CT + 1024, CT - 1024, (CT > 0) * 1, np.full_like(CT, -1000), CT / 1000.0):
        assert len(hu_warnings(hu)) == 1
    assert hu_warnings(CT) == hu_warnings(np.where(CORNERS, -2000, CT)) == []
