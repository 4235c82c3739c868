"""Files find their counterparts by every name that stands for a case, and grids that differ are refused."""

import numpy as np
import pytest

from kits_tf.errors import InputError, UsageError
from kits_tf.evaluation.matching import case_id, check_same_grid, find_images, find_labels, match
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
    touch(folder / "prediction_00001.nii.gz")
    touch(folder / "case_00001.nii.gz")
    touch(folder / "case_00002.nii")
    touch(folder / "case_00003/segmentation.nii.gz")
    touch(folder / "prediction_00009.nii.gz")
    touch(folder / "prediction_00001.json")
    touch(folder / "prediction_00001_kidney_probability.nii.gz")
    touch(folder / "scan_segmentation_tumor_probability.nii.gz")
    touch(folder / ".writing-1-prediction_00002.nii.gz")
    found = match(folder, references)
    assert {name: pair[0].relative_to(folder).as_posix() for name, pair in found.pairs.items()} == {
        "case_00001": "prediction_00001.nii.gz",
        "case_00002": "case_00002.nii",
        "case_00003": "case_00003/segmentation.nii.gz",
    }
    assert found.missing == []
    assert [path.name for path in found.extra] == ["prediction_00009.nii.gz"]


def test_missing_predictions_are_named_and_cases_narrow_both_sides(tmp_path, references):
    touch(tmp_path / "predictions/prediction_00002.nii.gz")
    touch(tmp_path / "predictions/prediction_00007.nii.gz")
    found = match(tmp_path / "predictions", references)
    assert (list(found.pairs), found.missing) == (["case_00002"], ["case_00001", "case_00003"])
    found = match(tmp_path / "predictions", references, "2-3")
    assert (list(found.pairs), found.missing, found.extra) == (["case_00002"], ["case_00003"], [])
    found = match(tmp_path / "predictions", references, "2,5,7")
    assert (list(found.pairs), found.missing, found.absent) == (["case_00002"], [], ["case_00005"])


def test_files_and_single_case_folders(tmp_path, references):
    one = touch(tmp_path / "anything.nii.gz")
    label = references / "case_00002" / "segmentation.nii.gz"
    assert match(one, label).pairs == {"case_00002": (one, label)}
    named = touch(tmp_path / "out" / "prediction_00002.nii.gz")
    found = match(named, references)
    assert (found.pairs, found.missing, found.extra) == ({"case_00002": (named, label)}, [], [])
    found = match(tmp_path / "out", label)
    assert (found.pairs, found.extra) == ({"case_00002": (named, label)}, [])
    found = match(tmp_path / "out", references / "case_00002")
    assert found.pairs == {"case_00002": (named, label)}


def test_probabilities_beside_predictions_are_neither_labels_nor_cts(tmp_path):
    for name in ("scan", "scan_segmentation", "scan_segmentation_kidney_probability"):
        touch(tmp_path / f"{name}.nii.gz")
    assert find_labels(tmp_path, "predictions") == {"scan": tmp_path / "scan_segmentation.nii.gz"}
    assert find_images(tmp_path) == {"scan": tmp_path / "scan.nii.gz"}


def test_other_names_go_by_themselves(tmp_path):
    assert case_id(tmp_path / "scan_segmentation.nii.gz") == case_id(tmp_path / "scan.nii") == "scan"
    assert case_id(tmp_path / "prediction_00210.nii.gz") == "case_00210"
    assert case_id(tmp_path / "case_00210" / "segmentation.nii.gz") == "case_00210"


@pytest.mark.parametrize(
    ("predictions", "flag"),
    [("nowhere", "predictions"), ("empty", "predictions"), ("strangers", "predictions")],
)
def test_nothing_to_score(tmp_path, references, predictions, flag):
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "strangers/case_00077.nii.gz")
    with pytest.raises(UsageError) as caught:
        match(tmp_path / predictions, references)
    assert caught.value.flag == flag
    with pytest.raises(UsageError) as caught:
        match(tmp_path / "strangers", tmp_path / "empty")
    assert caught.value.flag == "references"


def test_errors_tell_by_which_names_files_are_found(tmp_path, references):
    strangers = touch(tmp_path / "strangers/scan.nii.gz").parent
    nothing = "strangers holds nothing for the cases of .*, such as "
    with pytest.raises(UsageError, match=f"^--predictions: .*{nothing}prediction_00001.nii.gz for case_00001$"):
        match(strangers, references)
    with pytest.raises(UsageError, match=f"^--compare: .*{nothing}prediction_00001.nii.gz for case_00001$"):
        match(strangers, references, flag="compare")
    other = touch(tmp_path / "others/ct_segmentation.nii.gz").parent
    with pytest.raises(UsageError, match="such as ct_segmentation.nii.gz for ct$"):
        match(strangers, other)
    none = "holds none of the cases of --cases, such as "
    with pytest.raises(UsageError, match=f"^--predictions: .*strangers {none}prediction_00001.nii.gz$"):
        match(strangers, references, "1-2")
    touch(strangers / "prediction_00009.nii.gz")
    with pytest.raises(UsageError, match=f"^--references: .*{none}case_00009/segmentation.nii.gz$"):
        match(strangers, references, "9")


def test_case_folders_without_the_file_are_told_so(references):
    (references / "case_00002/segmentation.nii.gz").unlink()
    with pytest.raises(UsageError, match="^--references: .*case_NNNNN folders with a segmentation.nii.gz$"):
        find_labels(references / "case_00002", "references")
    with pytest.raises(UsageError, match="^--images: .*case_NNNNN folders with an imaging.nii.gz$"):
        find_images(references / "case_00002")


def test_grids_differ_by_shape_or_place_but_not_by_rounding():
    affine = working_affine((3, 0.8, 0.8), (5, 6, 7))
    grid = Grid((100, 512, 512), (3, 0.8, 0.8), affine)
    check_same_grid("a.nii", Grid(grid.shape, grid.spacing_mm, affine * (1 + 1e-6)), grid)
    with pytest.raises(InputError, match="a.nii: has 99x512x512 voxels, its counterpart 100x512x512"):
        check_same_grid("a.nii", Grid((99, 512, 512), grid.spacing_mm, affine), grid)
    moved = affine.copy()
    moved[0, 3] += 0.4
    with pytest.raises(InputError, match="lies up to 0.40 mm away"):
        check_same_grid("a.nii", Grid(grid.shape, grid.spacing_mm, moved), grid)
    with pytest.raises(InputError, match="another affine"):
        check_same_grid("a.nii", Grid(grid.shape, (3, 0.8, 0.8), affine @ np.diag([1, 1, 1.01, 1])), grid)


def test_names_in_capital_letters_are_found(tmp_path):
    for name in ("cts/SCAN.NII.GZ", "labels/SCAN_segmentation.nii.gz"):
        touch(tmp_path / name)
    assert list(find_images(tmp_path / "cts")) == list(find_labels(tmp_path / "labels", "predictions")) == ["SCAN"]
