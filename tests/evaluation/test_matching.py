"""Files find their counterparts by case, grids that differ are refused, and sidecars are read."""

import hashlib
import shutil

import numpy as np
import pytest

from kits_tf.errors import InputError, UsageError
from kits_tf.evaluation.matching import (
    Other,
    check_same_grid,
    counterparts,
    find_labels,
    is_kidney_only,
    match,
    read_sidecar,
)
from kits_tf.io.volume import Grid, working_affine


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def references(tmp_path):
    for number in (1, 2, 3):
        touch(tmp_path / f"references/case_{number:05d}/segmentation.nii.gz")
    touch(tmp_path / "references/case_00004/imaging.nii.gz")
    return tmp_path / "references"


def test_every_name_of_a_case_is_understood(tmp_path, references):
    folder = tmp_path / "predictions"
    expected = ["prediction_00001.nii.gz", "case_00002.nii", "case_00003/segmentation.nii.gz"]
    others = ["case_00001.nii.gz", "prediction_00009.nii.gz", "prediction_00001.json"]
    others += ["prediction_00001_kidney_probability.nii.gz", ".writing-1-prediction_00002.nii.gz"]
    for name in expected + others:
        touch(folder / name)
    found = match(folder, references)
    assert {case: pair[0] for case, pair in found.pairs.items()} == {
        f"case_{number:05d}": folder / name for number, name in enumerate(expected, 1)
    }
    assert (found.missing, found.extra, found.absent) == ({}, [folder / "prediction_00009.nii.gz"], [])


def test_missing_predictions_are_named_and_cases_narrow_both_sides(tmp_path, references):
    for number in (2, 7):
        touch(tmp_path / f"predictions/prediction_{number:05d}.nii.gz")

    def found(cases):
        result = match(tmp_path / "predictions", references, cases)
        return list(result.pairs), list(result.missing), len(result.extra), result.absent

    assert found("") == (["case_00002"], ["case_00001", "case_00003"], 1, [])
    assert found("2-3") == (["case_00002"], ["case_00003"], 0, [])
    assert found("2,5,7") == (["case_00002"], [], 1, ["case_00005"])


def test_single_files_belong_together_whatever_their_names(tmp_path, references):
    label = references / "case_00002/segmentation.nii.gz"
    one = touch(tmp_path / "anything.nii.gz")
    assert match(one, label).pairs == {"case_00002": (one, label)}
    named = touch(tmp_path / "out/prediction_00002.nii.gz")
    for predictions, known in ((named, references), (named.parent, label), (named.parent, label.parent)):
        found = match(predictions, known)
        assert (found.pairs, found.missing, found.extra) == ({"case_00002": (named, label)}, {}, [])


def test_labels_and_cts_in_one_folder_are_told_apart(tmp_path):
    for name in ("SCAN.NII.GZ", "SCAN_segmentation.nii.gz", "SCAN_segmentation_kidney_probability.nii.gz"):
        touch(tmp_path / name)
    assert find_labels(tmp_path, "predictions") == {"SCAN": tmp_path / "SCAN_segmentation.nii.gz"}


def test_labels_of_one_name_in_several_folders_are_named_by_them_and_found_in_another_tree(tmp_path):
    for name in ("a/b/scan_segmentation.nii.gz", "c/scan_segmentation.nii.gz", "c/prediction_00003.nii.gz"):
        touch(tmp_path / "out" / name)
    flat = ("a_b_scan_segmentation.nii.gz", "c_scan_segmentation.nii.gz", "case_00003/segmentation.nii.gz")
    for name in flat:
        touch(tmp_path / "flat" / name)
    assert sorted(find_labels(tmp_path / "out", "predictions")) == ["a_b_scan", "c_scan", "case_00003"]
    for one, other in (("out", "flat"), ("flat", "out")):
        assert list(match(tmp_path / one, tmp_path / other).pairs) == ["a_b_scan", "c_scan", "case_00003"]


def test_content_decides_before_names(tmp_path):
    """Each patient's folder has a CT and a reference; predictions have the digests of CTs, and misleading names."""
    for patient, name in (("p1", "ct"), ("p2", "ct"), ("p3", "other")):
        touch(tmp_path / f"data/{patient}/{name}.nii.gz").write_bytes(patient.encode())
        touch(tmp_path / f"data/{patient}/drawn.nii.gz").write_bytes(b"labels of " + patient.encode())
    written = {"p1_drawn": "p2", "anything": "p1", "other": "p3"}
    for name, patient in written.items():
        touch(tmp_path / f"out/{name}_segmentation.nii.gz")
        digest = hashlib.sha256(patient.encode()).hexdigest()[:16]
        (tmp_path / f"out/{name}_segmentation.json").write_text(f'{{"input_digest": "{digest}"}}')
    found = match(tmp_path / "out", tmp_path / "data")
    assert (found.missing, found.extra) == ({}, [])  # no CT counts as a reference
    assert {reference.parent.name: prediction.name for prediction, reference in found.pairs.values()} == {
        patient: f"{name}_segmentation.nii.gz" for name, patient in written.items()
    }


def test_cts_in_a_tree_of_references_are_no_references(tmp_path):
    """They lie flat above the labels, under the same names; also where nothing else is left."""
    for name in ("a", "b"):
        touch(tmp_path / f"references/{name}.nii.gz").write_bytes(name.encode())
        touch(tmp_path / f"references/labels/{name}.nii.gz").write_bytes(b"labels of " + name.encode())
        touch(tmp_path / f"out/{name}_segmentation.nii.gz")
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        (tmp_path / f"out/{name}_segmentation.json").write_text(f'{{"input_digest": "{digest}"}}')
    found = match(tmp_path / "out", tmp_path / "references")
    assert {case: reference for case, (_, reference) in found.pairs.items()} == {
        name: tmp_path / f"references/labels/{name}.nii.gz" for name in "ab"
    }
    assert (found.missing, found.extra) == ({}, [])
    shutil.rmtree(tmp_path / "references/labels")
    with pytest.raises(UsageError, match="^--references: .*must hold label files"):
        match(tmp_path / "out", tmp_path / "references")


def test_two_predictions_of_one_ct_are_refused(tmp_path):
    """Neither is scored silently in place of the other."""
    touch(tmp_path / "data/case_00001/imaging.nii.gz").write_bytes(b"ct")
    touch(tmp_path / "data/case_00001/segmentation.nii.gz")
    for run in "ab":
        path = touch(tmp_path / run / "prediction_00001.nii.gz")
        digest = hashlib.sha256(b"ct").hexdigest()[:16]
        path.with_name("prediction_00001.json").write_text(f'{{"input_digest": "{digest}"}}')
        assert list(match(tmp_path / run, tmp_path / "data").pairs) == ["case_00001"]
    shutil.move(tmp_path / "a", tmp_path / "runs/a")
    shutil.move(tmp_path / "b", tmp_path / "runs/b")
    with pytest.raises(UsageError, match="^--predictions: .*/a/.* and .*/b/.* are labels of one case, case_00001;"):
        match(tmp_path / "runs", tmp_path / "data")


def test_two_files_of_one_long_name_are_refused(tmp_path):
    for name in ("a_b.nii.gz", "a/b.nii.gz", "c/b.nii.gz"):
        touch(tmp_path / name)
    with pytest.raises(UsageError, match=r"^--references: .*a_b.nii.gz and .*a/b.nii.gz are labels of one case, a_b;"):
        find_labels(tmp_path, "references")


def test_equal_content_is_told_apart_by_names_and_without_them_left_out(tmp_path):
    others = {name: Other([name], lambda: "same") for name in ("a", "b")}
    for name in ("a", "c"):
        touch(tmp_path / f"{name}.nii.gz")
        (tmp_path / f"{name}.json").write_text('{"input_digest": "same"}')
    assert counterparts(find_labels(tmp_path, "predictions"), others) == {"a": "a"}


@pytest.mark.parametrize("folder", ["nowhere", "empty", "others"])
def test_without_anything_to_score_the_flag_and_the_names_are_said(tmp_path, references, folder):
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "others/case_00077.nii.gz")
    with pytest.raises(UsageError, match=f"^--compare: .*{folder}"):
        match(tmp_path / folder, references, flag="compare")
    with pytest.raises(UsageError, match="^--references: .*case_NNNNN folders with a segmentation.nii.gz"):
        match(tmp_path / "others", tmp_path / "empty")
    with pytest.raises(UsageError, match="prediction_NNNNN.nii.gz"):
        match(tmp_path / "others", references, "1-2")


def test_grids_may_differ_by_rounding_but_not_in_shape_or_position():
    affine = working_affine((3, 0.8, 0.8), (5, 6, 7))
    grid = Grid((100, 512, 512), (3, 0.8, 0.8), affine)
    check_same_grid("a.nii", Grid(grid.shape, grid.spacing_mm, affine * (1 + 1e-6)), grid)
    with pytest.raises(InputError, match="a.nii: has 99x512x512 voxels, its counterpart 100x512x512"):
        check_same_grid("a.nii", Grid((99, 512, 512), grid.spacing_mm, affine), grid)
    moved = affine.copy()
    moved[0, 3] += 0.4
    for other, distance in ((moved, "0.40"), (affine @ np.diag([1, 1, 1.01, 1]), "4.09")):
        with pytest.raises(InputError, match=f"{distance} mm away"):
            check_same_grid("a.nii", Grid(grid.shape, grid.spacing_mm, other), grid)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b'{"tumor_ml": null}', {"tumor_ml": None}), (b"", {}), (b"{", {}), (b"[1]", {}), (b"\xff", {}), (None, {})],
)
def test_a_sidecar_has_the_name_of_its_labels_and_a_damaged_one_is_empty(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "ct_segmentation.json").write_bytes(content)
    assert read_sidecar(tmp_path / "ct_segmentation.nii.gz") == expected


def test_only_null_without_a_tumor_in_the_labels_means_kidney_only():
    kidney, tumor = np.array([[[0, 1, 1]]], np.uint8), np.array([[[0, 1, 2]]], np.uint8)
    assert is_kidney_only({"tumor_ml": None}, kidney)
    assert not is_kidney_only({"tumor_ml": None}, tumor)  # drawn by hand since
    assert not is_kidney_only({"tumor_ml": 0.0}, kidney) and not is_kidney_only({}, kidney)
