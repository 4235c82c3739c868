"""Proves which commands the recipe runs on which cases: no case's kidneys come from a network that trained on it."""

import dataclasses
import json
import os
import pathlib

import pytest

from kits_tf import config as configs
from kits_tf.data.records import FORMAT, INDEX_NAME, read_index
from kits_tf.errors import UsageError
from kits_tf.training import recipe

SPLITS = ["training"] * 7 + ["validation"] * 2 + ["test"]


@pytest.fixture(name="data")
def prepared_folder(tmp_path):
    """A prepared folder without records: the recipe reads the index alone."""
    folds = [None if split == "test" else n % 3 for n, split in enumerate(SPLITS)]
    cases = [{"id": f"case_{n:05d}", "split": SPLITS[n], "fold": fold} for n, fold in enumerate(folds)]
    (tmp_path / "data" / "cases").mkdir(parents=True)
    (tmp_path / "data" / INDEX_NAME).write_text(json.dumps({"format": FORMAT, "cases": cases}))
    return tmp_path / "data"


def options(data, **changes):
    return recipe.Options(data, data.parent / "networks", **{"num_folds": 3, **changes})


def flag(step, name):
    [value] = [word.partition("=")[2] for word in step.words if word.startswith(f"--{name}=")]
    return value


def cases(folder, *splits):
    return {case["id"] for case in read_index(pathlib.Path(folder))["cases"] if case["split"] in splits}


def test_the_order_is_the_papers_and_with_labels_there_are_no_folds(data):
    names = [step.name for step in recipe.steps(options(data))]
    planes = ["kidney_axial", "kidney_coronal", "kidney_sagittal"]
    assert names[:3] == planes
    assert names[3:12] == [f"folds/{fold}/{plane}" for fold in range(3) for plane in planes]
    assert names[12:] == [*(f"folds/{fold}/kidneys" for fold in range(3)), "validation/kidneys", "tumor"]
    steps = recipe.steps(options(data, kidney_masks="labels"))
    assert [step.part for step in steps] == ["axial", "coronal", "sagittal", "tumor"]
    assert flag(steps[-1], "kidney_masks") == "labels"


def test_no_kidney_is_found_by_a_network_that_has_seen_the_case(data):
    steps = recipe.steps(options(data))
    seen_by = {}
    for step in [step for step in steps if step.words[0] == "kits-train" and step.part != "tumor"]:
        seen_by.setdefault(flag(step, "checkpoint_dir"), set()).update(cases(flag(step, "data_dir"), "training"))
    found = []
    for step in [step for step in steps if step.part == "kidneys"]:
        predicted = cases(flag(step, "input"), "training", "validation", "test")
        assert predicted and not predicted & seen_by[flag(step, "checkpoint_dir")]
        assert flag(step, "output_dir") == flag(steps[-1], "kidney_masks")
        found += predicted
    assert sorted(found) == sorted(cases(data, "training", "validation"))
    assert all(len(seen) in (7, 5, 4) for seen in seen_by.values())


def test_more_folds_than_training_cases_are_refused(data):
    recipe.steps(options(data, num_folds=7))
    with pytest.raises(UsageError, match="--num_folds: .* 7, got 8; --kidney_masks=labels"):
        recipe.steps(options(data, num_folds=8))
    assert len(recipe.steps(options(data, num_folds=8, kidney_masks="labels"))) == 4


def test_flags_reach_their_commands(data):
    steps = recipe.steps(options(data, kidney=("--k",), folds=("--f",), tumor=("--t",), predict=("--p",)))
    for step in steps:
        own = {"kits-predict": "--p"}.get(step.words[0]) or ("--f" if step.name.startswith("folds") else "--k")
        assert step.words[-1] == ("--t" if step.part == "tumor" else own)


def test_a_fold_for_cross_validation_is_the_split(data):
    step = recipe.steps(options(data, fold=1))[0]
    assert cases(flag(step, "data_dir"), "validation") == {"case_00001", "case_00004", "case_00007"}
    assert len(cases(flag(step, "data_dir"), "training")) == 6
    assert cases(flag(step, "data_dir"), "test") == {"case_00009"}
    with pytest.raises(UsageError, match="--fold: .* has no fold 3; it has 0, 1, 2"):
        recipe.steps(options(data, fold=3))


def test_records_are_linked_also_after_they_have_moved_and_a_second_run_writes_nothing(data):
    step = recipe.steps(options(data))[3]
    view = pathlib.Path(flag(step, "data_dir"))
    (data / "cases" / "case_00000.tfrecord").write_bytes(b"record")
    assert (view / "cases" / "case_00000.tfrecord").read_bytes() == b"record"
    (view / "working" / "3mm").mkdir()
    assert (data / "working" / "3mm").is_dir()
    before = (view / INDEX_NAME).stat().st_mtime_ns
    moved = data.rename(data.parent / "moved")
    assert recipe.steps(recipe.Options(moved, data.parent / "networks", num_folds=3))[3] == step
    assert (view / INDEX_NAME).stat().st_mtime_ns == before
    assert (view / "cases" / "case_00000.tfrecord").read_bytes() == b"record"
    assert sorted(path.name for path in view.iterdir()) == ["cases", INDEX_NAME, "working"]


def test_the_summary_tells_of_each_network_the_weights_that_are_kept(tmp_path):
    for name, keep in (("kidney_axial", "last"), ("tumor", "best")):
        stage, _, plane = name.partition("_")
        config = dataclasses.replace(configs.preset("small", stage, plane or None), keep=keep, validate_every=50)
        configs.save(config, tmp_path / name / "config.json")
        rows = [f"{step},0.1,{9 if step <= 50 else 0.25}" for step in range(1, 151)]
        (tmp_path / name / "history.csv").write_text("step,learning_rate,loss\n" + "\n".join(rows) + "\n")
        (tmp_path / name / "validation.csv").write_text("step,dice,case_00001\n50,0.5,0.5\n100,0.9,0.9\n150,0.7,0.7\n")
        (tmp_path / name / "model.weights.h5").write_text("")
    (tmp_path / "kidney_coronal").mkdir()
    table = recipe.summary(tmp_path)
    assert list(table.index) == ["kidney_axial", "tumor"]
    assert list(table["validation"]) == ["Dice 0.7000 at step 150", "Dice 0.9000 at step 100"]
    assert set(table["loss"]) == {"0.2500"} and set(table["steps"]) == {"150"}
    (tmp_path / "tumor" / "validation.csv").unlink()
    assert recipe.summary(tmp_path)["validation"]["tumor"] == "-"


def test_kidneys_older_than_their_networks_are_outdated(data):
    step, other = [step for step in recipe.steps(options(data, predict=("--p=1",))) if step.part == "kidneys"][:2]
    kidneys, networks = pathlib.Path(flag(step, "output_dir")), pathlib.Path(flag(step, "checkpoint_dir"))

    def written(path, seconds):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        os.utime(path, (seconds, seconds))

    for case in cases(flag(step, "input"), "test") | cases(flag(other, "input"), "test"):
        written(kidneys / f"prediction_{case[-5:]}.nii.gz", 1000)
    assert not recipe.is_outdated(step), "no network is there"
    written(networks / "kidney_axial" / "model.weights.h5", 900)
    assert not recipe.is_outdated(step)
    written(networks / "kidney_coronal" / "model.weights.h5", 2000)
    assert recipe.is_outdated(step) and not recipe.is_outdated(other)
