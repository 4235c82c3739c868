"""Proves when a CT counts as done, as not done, and when what lies there must be left alone."""

import json
import pathlib

import numpy as np
import pytest

from kits_tf.errors import InputError
from kits_tf.inference.inputs import Input, from_file
from kits_tf.inference.written import is_done
from kits_tf.volume import Volume, write_volume

SPACING_MM = (3.0, 0.7, 0.8)


@pytest.fixture
def source(tmp_path):
    write_volume(Volume(np.zeros((4, 5, 6), np.int16), SPACING_MM), tmp_path / "data" / "ct.nii.gz")
    return from_file(tmp_path / "data" / "ct.nii.gz")


def write(folder, name, content=""):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def test_labels_and_json_are_done_and_less_is_not(source, tmp_path):
    out = tmp_path / "out"
    assert not is_done(source, out)
    write(out, "ct_segmentation.nii.gz")
    assert not is_done(source, out)
    write(out, "ct_segmentation.json", {"shape": [4, 5, 6], "spacing_mm": [3.0, 0.7, 0.8]})
    assert is_done(source, out)
    (out / "ct_segmentation.nii.gz").unlink()
    assert not is_done(source, out)


def test_labels_alone_beside_their_ct_are_left_alone(source, tmp_path):
    write(tmp_path / "data", "ct_segmentation.nii.gz")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for folder in (tmp_path / "data", tmp_path / "link", f"{tmp_path}/data/../data"):
        with pytest.raises(InputError) as caught:
            is_done(source, folder)
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
        is_done(source, tmp_path / "out")


@pytest.mark.parametrize("content", ("{}", "[]", "no JSON", '{"shape": [1, 1, 1]}'))
def test_a_json_that_tells_no_grid_is_no_reason_to_doubt(source, tmp_path, content):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    write(tmp_path / "out", "ct_segmentation.json", content)
    assert is_done(source, tmp_path / "out")


def test_a_ct_that_has_become_unreadable_is_named(source, tmp_path):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    write(tmp_path / "out", "ct_segmentation.json", {"shape": [4, 5, 6], "spacing_mm": list(SPACING_MM)})
    source.path.write_bytes(b"no CT")
    with pytest.raises(InputError, match="ct.nii.gz: not a NIfTI file"):
        is_done(source, tmp_path / "out")


def test_a_line_that_names_no_ct_is_never_done(tmp_path):
    fault = InputError("list.txt, line 1", "damaged")
    for name in ("line_1_segmentation.nii.gz", "line_1_segmentation.json"):
        write(tmp_path / "out", name)
    assert not is_done(Input(tmp_path / "gone", "line_1_segmentation.nii.gz", fault=fault), tmp_path / "out")


NOW = {"stage": "both", "fusion": "union", "weights": "0123"}


def test_labels_of_the_same_options_are_done_and_of_older_versions_too(source, tmp_path):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    for told in ({"options": NOW}, {"options": {"stage": "both"}}, {"options": None}, {}):
        write(tmp_path / "out", "ct_segmentation.json", told)
        assert is_done(source, tmp_path / "out", NOW)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ({"stage": "kidney"}, r"stage kidney, now both"),
        ({"fusion": None}, r"fusion none, now union"),
        ({"weights": "4567"}, r"weights of phantom that are not those of now"),
    ],
)
def test_labels_of_other_options_are_left_alone(source, tmp_path, then, said):
    write(tmp_path / "out", "ct_segmentation.nii.gz")
    write(tmp_path / "out", "ct_segmentation.json", {"checkpoint": "phantom", "options": NOW | then})
    with pytest.raises(InputError, match=rf"was written with other options \({said}\); --overwrite replaces it"):
        is_done(source, tmp_path / "out", NOW)


def test_labels_without_what_should_lie_beside_them_are_not_done(source, tmp_path):
    for name in ("ct_segmentation.nii.gz", "ct_segmentation.json"):
        write(tmp_path / "out", name, "{}")
    assert not is_done(source, tmp_path / "out", NOW, [".html"])
    write(tmp_path / "out", "ct_segmentation.html")
    assert is_done(source, tmp_path / "out", NOW, [".html"])
