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
from kits_tf.volume import Volume, write_volume

SPACING_MM = (3.0, 0.7, 0.8)


@pytest.fixture
def source(tmp_path):
    write_volume(Volume(np.zeros((4, 5, 6), np.int16), SPACING_MM), tmp_path / "data" / "ct.nii.gz")
    return from_file(tmp_path / "data" / "ct.nii.gz")


def write(folder, name, content=""):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


GRID = {"shape": [4, 5, 6], "spacing_mm": list(SPACING_MM)}


def test_labels_and_json_are_done_and_less_is_not(source, tmp_path):
    out = tmp_path / "out"
    assert lacking(source, out) is None
    write(out, "ct_segmentation.nii.gz")
    assert lacking(source, out) is None
    write(out, "ct_segmentation.json", GRID)
    assert lacking(source, out) == []
    (out / "ct_segmentation.nii.gz").unlink()
    assert lacking(source, out) is None


def test_labels_alone_beside_their_ct_are_left_alone(source, tmp_path):
    write(tmp_path / "data", "ct_segmentation.nii.gz")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for folder in (tmp_path / "data", tmp_path / "link", f"{tmp_path}/data/../data"):
        with pytest.raises(InputError) as caught:
            lacking(source, folder)
        assert str(caught.value).startswith(f"{pathlib.Path(folder) / 'ct_segmentation.nii.gz'}: is there without")


@pytest.mark.parametrize(
    "told",
    [
        {"shape": [4, 5, 7], "spacing_mm": list(SPACING_MM)},
        {"shape": [4, 5, 6], "spacing_mm": [3.0, 0.7, 0.9]},
        {"shape": [4, 5, 6], "spacing_mm": [3.0]},
        {"shape": [4, 5, 6], "spacing_mm": ["3", 0.7, 0.8]},
        {"shape": None, "spacing_mm": list(SPACING_MM)},
        {"shape": [4, 5, 6], "spacing_mm": None},
    ],
)
def test_labels_of_another_ct_are_left_alone(source, tmp_path, told):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    write(tmp_path / "out", "ct_segmentation.json", told)
    with pytest.raises(InputError, match=r"ct_segmentation.nii.gz: was written for another CT \(shape .*--overwrite"):
        lacking(source, tmp_path / "out")


@pytest.mark.parametrize("content", ("", "{}", "[]", "no JSON", '{"shape": [1, 1, 1]}', '{"shape": [4, 5, 6'))
def test_a_json_of_another_program_or_a_damaged_one_is_left_alone(source, tmp_path, content):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    write(tmp_path / "out", "ct_segmentation.json", content)
    with pytest.raises(InputError, match=r"ct_segmentation.nii.gz: its .json is damaged, or not written by this"):
        lacking(source, tmp_path / "out")


def test_a_ct_that_is_told_by_its_digest_may_lie_elsewhere_and_must_not_change(source, tmp_path):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    write(tmp_path / "out", "ct_segmentation.json", GRID | {"input_digest": of_file(source.path)})
    copy = from_file(pathlib.Path(shutil.copy(source.path, tmp_path / "ct.nii.gz")))
    assert lacking(source, tmp_path / "out") == lacking(copy, tmp_path / "out") == []
    write_volume(Volume(np.ones((4, 5, 6), np.int16), SPACING_MM), copy.path)  # the same grid
    with pytest.raises(InputError, match="written for another CT .* or for this one before it changed"):
        lacking(copy, tmp_path / "out")


def test_a_dicom_series_is_told_by_its_instances_and_its_dicom_seg_is_wanted(tmp_path):
    def series(*uids):
        headers = [types.SimpleNamespace(dataset=types.SimpleNamespace(SOPInstanceUID=uid)) for uid in uids]
        return Input(tmp_path, "a_segmentation.nii.gz", series=types.SimpleNamespace(headers=headers))

    write(tmp_path / "out", "a_segmentation.nii.gz")
    write(tmp_path / "out", "a_segmentation.json", GRID | {"input_digest": of_input(series("1.2", "1.3"))})
    assert lacking(series("1.3", "1.2"), tmp_path / "out") == [".dcm"]
    with pytest.raises(InputError, match="^a_segmentation.nii.gz: was written for another CT"):
        lacking(series("1.2", "1.4"), tmp_path / "out")


def test_a_ct_that_has_become_unreadable_is_named(source, tmp_path):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    write(tmp_path / "out", "ct_segmentation.json", GRID)
    source.path.write_bytes(b"no CT")
    with pytest.raises(InputError, match="ct.nii.gz: not a NIfTI file"):
        lacking(source, tmp_path / "out")


def test_a_line_that_names_no_ct_is_never_done(tmp_path):
    fault = InputError("list.txt, line 1", "damaged")
    for name in ("line_1_segmentation.nii.gz", "line_1_segmentation.json"):
        write(tmp_path / "out", name)
    assert lacking(Input(tmp_path / "gone", "line_1_segmentation.nii.gz", fault=fault), tmp_path / "out") is None


NOW = {"stage": "both", "fusion": "union", "weights": "0123"}


def test_labels_of_the_same_options_are_done_and_of_older_versions_too(source, tmp_path):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    for told in ({"options": NOW}, {"options": {"stage": "both"}}, {"options": None}, {}):
        write(tmp_path / "out", "ct_segmentation.json", GRID | told)
        assert lacking(source, tmp_path / "out", NOW) == []


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ({"stage": "kidney"}, r"stage kidney, now both"),
        ({"stage": [1, None]}, r"stage 1,None, now both"),
        ({"stage": {"a": 1}}, r"stage {'a': 1}, now both"),
        ({"fusion": None}, r"fusion none, now union"),
        ({"weights": "4567"}, r"weights of phantom that are not those of now"),
        ({"kidney_mask": "4567"}, r"another kidney mask, or this one before it changed"),
    ],
)
def test_labels_of_other_options_are_left_alone(source, tmp_path, then, said):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    write(tmp_path / "out", "ct_segmentation.json", GRID | {"checkpoint": "phantom", "options": NOW | then})
    with pytest.raises(InputError, match=rf"was written with other options \({said}\); --overwrite replaces it"):
        lacking(source, tmp_path / "out", NOW)


def test_a_kidney_mask_is_told_by_its_content_wherever_it_lies(source, tmp_path):
    write(tmp_path / "masks", "ct_segmentation.nii.gz", "kidneys")
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    told = {"options": NOW | {"kidney_mask": of_file(tmp_path / "masks" / "ct_segmentation.nii.gz")}}
    write(tmp_path / "out", "ct_segmentation.json", GRID | told)
    moved = shutil.copytree(tmp_path / "masks", tmp_path / "moved")
    assert lacking(source, tmp_path / "out", NOW, moved) == []
    write(moved, "ct_segmentation.nii.gz", "kidneys, drawn anew")
    with pytest.raises(InputError, match="another kidney mask, or this one before it changed"):
        lacking(source, tmp_path / "out", NOW, moved)


def test_what_should_lie_beside_labels_and_does_not_is_named(source, tmp_path):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    write(tmp_path / "out", "ct_segmentation.json", GRID)
    assert lacking(source, tmp_path / "out", NOW, wanted=[".html", ".ctbl"]) == [".html", ".ctbl"]
    write(tmp_path / "out", "ct_segmentation.html")
    assert lacking(source, tmp_path / "out", NOW, wanted=[".html", ".ctbl"]) == [".ctbl"]
