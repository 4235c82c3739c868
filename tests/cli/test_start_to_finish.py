"""Proves that the commands of BUILD.md follow each other: from simulated CTs to a report, with tiny networks."""

import json

import nibabel as nib
import numpy as np
import pytest

from kits_tf.cli import app, evaluate, predict, prepare, report, simulate, train

TINY = ["--preset=small", "--base_filters=2", "--num_steps=2", "--batch_size=1", "--seed=0", "--set=depth=2"]
COARSE = ["--set=inplane_mm=8", "--set=patch_rows=32", "--set=patch_columns=32", "--set=patch_slices=32"]


def run(command, *arguments):
    """Runs a command in this process; it has to succeed."""
    name = command.__name__.rsplit(".", 1)[1]
    assert app.execute(command.main, command.FLAGS, [f"kits-{name}", *arguments]) == 0


@pytest.fixture(name="home", scope="module")
def everything(tmp_path_factory):
    """A folder in which every command has run, each on what the one before left."""
    home = tmp_path_factory.mktemp("home")
    data, prepared, checkpoints = home / "data", home / "prepared", home / "checkpoints"
    run(simulate, f"--output_dir={data}", "--num_cases=2", "--seed=14", "--size=64", "--slices=32", "--workers=1")
    run(prepare, f"--input={data}", f"--output_dir={prepared}", "--num_validation=1", "--num_test=0")
    trained = [f"--data_dir={prepared}", f"--checkpoint_dir={checkpoints}", *TINY]
    run(train, "--stage=kidney", "--plane=axial", *trained, *COARSE)
    run(train, "--stage=tumor", *trained, "--kidney_masks=labels", "--set=grid=16")
    networks = [f"--checkpoint_dir={checkpoints}", "--planes=axial"]
    run(predict, f"--input={data}", f"--output_dir={home / 'predictions'}", *networks)
    references = [f"--predictions={home / 'predictions'}", f"--references={data}"]
    run(evaluate, *references, f"--output={home / 'scores.json'}")
    run(report, *references, f"--images={data}", f"--output_dir={home / 'report'}")
    return home


def test_every_case_is_labelled_on_its_own_grid(home):
    for number in range(2):
        image = nib.load(home / "data" / f"case_0000{number}" / "imaging.nii.gz")
        labels = nib.load(home / "predictions" / f"prediction_0000{number}.nii.gz")
        assert labels.shape == image.shape == (32, 64, 64)
        assert labels.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(labels.affine, image.affine)
        assert set(np.unique(labels.dataobj)) <= {0, 1, 2}


def test_every_case_is_scored(home):
    scores = json.loads((home / "scores.json").read_text())
    assert sorted(scores["cases"]) == ["case_00000", "case_00001"]
    assert all(0 <= case["kidney_dice"] <= 1 for case in scores["cases"].values())


def test_the_report_has_a_page_for_each_case(home):
    index = (home / "report" / "index.html").read_text()
    for number in range(2):
        assert f"case_0000{number}" in index


@pytest.mark.parametrize("network", ["kidney_axial", "tumor"])
def test_each_network_has_its_own_folder(home, network):
    for file in ("config.json", "model.weights.h5", "history.csv"):
        assert (home / "checkpoints" / network / file).is_file()


def test_kidneys_alone_can_feed_the_tumor_network(home, tmp_path):
    """The paper's way: stage 1 predicts the kidneys that stage 2 learns from."""
    run(
        predict,
        f"--input={home / 'prepared'}",
        f"--output_dir={tmp_path / 'kidneys'}",
        f"--checkpoint_dir={home / 'checkpoints'}",
        "--stage=kidney",
        "--planes=axial",
    )
    masks = sorted(path.name for path in (tmp_path / "kidneys").glob("*.nii.gz"))
    assert masks == [f"prediction_0000{number}.nii.gz" for number in range(2)]
