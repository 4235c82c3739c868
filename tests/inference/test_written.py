"""Proves when a CT counts as done, as not done, and when what lies there must be left alone."""

import json
import pathlib
import shutil
import types

import numpy as np
import pytest

from kits_tf.errors import InputError
from kits_tf.inference.digests import of_file, of_input
from kits_tf.inference.inputs import Input, from_file
from kits_tf.inference.written import lacking
from kits_tf.io.volume import Volume, read_volume, write_labels, write_volume

SPACING_MM = (3.0, 0.7, 0.8)


@pytest.fixture
def source(tmp_path):
    write_volume(Volume(np.zeros((4, 5, 6), np.int16), SPACING_MM), tmp_path / "data" / "ct.nii.gz")
    return from_file(tmp_path / "data" / "ct.nii.gz")


def write(folder, name, content=""):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


NOW = {"stage": "both", "fusion": "union", "weights": "0123"}
GRID = {"shape": [4, 5, 6], "spacing_mm": list(SPACING_MM)}


@pytest.fixture
def out(source, tmp_path):
    """An output folder with the labels of `source` and the JSON that belongs to them."""
    write_labels(np.ones((4, 5, 6), np.uint8), read_volume(source.path), tmp_path / "out" / "ct_segmentation.nii.gz")
    tell(tmp_path / "out", {})
    return tmp_path / "out"


def tell(out, changes, without=None):
    """Writes the JSON of `out`'s labels with some of it changed, or an entry left out."""
    labels = out / "ct_segmentation.nii.gz"
    digests = {"input_digest": of_file(out.parent / "data" / "ct.nii.gz"), "labels_digest": of_file(labels)}
    told = GRID | digests | {"options": NOW | {"kidney_mask": None}, "checkpoint": "simulated"} | changes
    write(out, "ct_segmentation.json", {key: told[key] for key in told if key != without})


def test_labels_and_json_are_done_and_less_is_not(source, out):
    assert lacking(source, out) == lacking(source, out, NOW) == []
    (out / "ct_segmentation.json").unlink()
    assert lacking(source, out) is None
    tell(out, {})
    (out / "ct_segmentation.nii.gz").unlink()
    assert lacking(source, out) is None
    (out / "ct_segmentation.json").unlink()
    assert lacking(source, out) is None


def test_labels_alone_beside_their_ct_are_left_alone(source, tmp_path):
    write(tmp_path / "data", "ct_segmentation.nii.gz")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for folder in (tmp_path / "data", tmp_path / "link", f"{tmp_path}/data/../data"):
        with pytest.raises(InputError) as caught:
            lacking(source, folder)
        assert str(caught.value).startswith(f"{pathlib.Path(folder) / 'ct_segmentation.nii.gz'}: is there without")


@pytest.mark.parametrize("content", ("", "{}", "[]", "no JSON", '{"shape": [1, 1, 1]}', '{"options": ', "[" * 200_000))
def test_labels_with_a_json_of_another_program_or_a_damaged_one_are_left_alone(source, out, content):
    write(out, "ct_segmentation.json", content)
    with pytest.raises(InputError, match=r"ct_segmentation.nii.gz: its .json says not of what"):
        lacking(source, out)


@pytest.mark.parametrize("without", ("input_digest", "labels_digest", "options"))
def test_labels_whose_json_says_not_of_what_are_left_alone(source, out, without):
    for changes, left_out in (({}, without), ({"options": None}, None), ({"options": ["both"]}, None)):
        tell(out, changes, left_out)
        with pytest.raises(InputError, match=r"its .json says not of what; .*--overwrite replaces it"):
            lacking(source, out, NOW)


def test_a_ct_may_lie_elsewhere_and_must_not_change(source, out, tmp_path):
    copy = from_file(pathlib.Path(shutil.copy(source.path, tmp_path / "ct.nii.gz")))
    assert lacking(source, out) == lacking(copy, out) == []
    write_volume(Volume(np.ones((4, 5, 6), np.int16), SPACING_MM), copy.path)  # the same grid
    expected = (
        r"ct_segmentation.nii.gz: was written for another CT \(shape \[4, 5, 6\].* or for this one before it changed"
    )
    with pytest.raises(InputError, match=expected):
        lacking(copy, out)


def test_a_dicom_series_is_told_by_its_instances_and_its_dicom_seg_is_wanted(tmp_path):
    def series(*uids):
        headers = [types.SimpleNamespace(dataset=types.SimpleNamespace(SOPInstanceUID=uid)) for uid in uids]
        return Input(tmp_path, "a_segmentation.nii.gz", series=types.SimpleNamespace(headers=headers))

    write(tmp_path / "out", "a_segmentation.nii.gz")
    digests = {
        "input_digest": of_input(series("1.2", "1.3")),
        "labels_digest": of_file(tmp_path / "out" / "a_segmentation.nii.gz"),
    }
    write(tmp_path / "out", "a_segmentation.json", digests | {"options": {}})
    assert lacking(series("1.3", "1.2"), tmp_path / "out") == [".dcm"]
    with pytest.raises(InputError, match="^a_segmentation.nii.gz: was written for another CT"):
        lacking(series("1.2", "1.4"), tmp_path / "out")


def test_a_line_that_names_no_ct_is_never_done(tmp_path):
    fault = InputError("list.txt, line 1", "damaged")
    for name in ("line_1_segmentation.nii.gz", "line_1_segmentation.json"):
        write(tmp_path / "out", name)
    assert lacking(Input(tmp_path / "gone", "line_1_segmentation.nii.gz", fault=fault), tmp_path / "out") is None


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ({"stage": "kidney"}, r"stage kidney, now both"),
        ({"stage": [1, None]}, r"stage 1,None, now both"),
        ({"stage": {"a": 1}}, r"stage {'a': 1}, now both"),
        ({"fusion": None}, r"fusion none, now union"),
        ({"weights": "4567"}, r"weights of simulated that are not those of now"),
        ({"kidney_mask": "4567"}, r"another kidney mask, or this one before it changed"),
    ],
)
def test_labels_of_other_options_are_left_alone(source, out, then, said):
    tell(out, {"options": NOW | {"kidney_mask": None} | then})
    with pytest.raises(InputError, match=rf"was written with other options \({said}\); --overwrite replaces it"):
        lacking(source, out, NOW)


def test_an_option_that_is_not_told_is_another(source, out):
    tell(out, {"options": {"stage": "both", "weights": "0123", "kidney_mask": None}})
    with pytest.raises(InputError, match=r"was written with other options \(fusion none, now union\)"):
        lacking(source, out, NOW)


def test_a_kidney_mask_is_told_by_its_content_wherever_it_lies(source, out, tmp_path):
    write(tmp_path / "masks", "ct_segmentation.nii.gz", "kidneys")
    tell(out, {"options": NOW | {"kidney_mask": of_file(tmp_path / "masks" / "ct_segmentation.nii.gz")}})
    moved = shutil.copytree(tmp_path / "masks", tmp_path / "moved")
    assert lacking(source, out, NOW, moved) == []
    write(moved, "ct_segmentation.nii.gz", "kidneys, drawn anew")
    with pytest.raises(InputError, match="another kidney mask, or this one before it changed"):
        lacking(source, out, NOW, moved)


def test_what_should_lie_beside_labels_and_does_not_is_named(source, out):
    assert lacking(source, out, NOW, wanted=[".html", ".ctbl"]) == [".html", ".ctbl"]
    write(out, "ct_segmentation.html")
    assert lacking(source, out, NOW, wanted=[".html", ".ctbl"]) == [".ctbl"]
    assert lacking(source, out, NOW, wanted=[".html", ".ctbl"], by_networks=[".ctbl"]) is None


def test_labels_that_were_changed_by_hand_are_done_and_are_not_lost(source, out):
    write_labels(np.zeros((4, 5, 6), np.uint8), read_volume(source.path), out / "ct_segmentation.nii.gz")
    assert lacking(source, out, NOW, wanted=[".html"]) == [".html"]
    with pytest.raises(InputError, match="was changed since it was written, .*--overwrite replaces it"):
        lacking(source, out, NOW, wanted=["_kidney.nii.gz"], by_networks=["_kidney.nii.gz"])


def test_labels_that_are_damaged_are_named(source, out):
    whole = (out / "ct_segmentation.nii.gz").read_bytes()
    (out / "ct_segmentation.nii.gz").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="ct_segmentation.nii.gz: truncated.*; --overwrite replaces it"):
        lacking(source, out)
