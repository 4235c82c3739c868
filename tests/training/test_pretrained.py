"""Proves that a training starts from the weights it is given, once, and refuses those of another network."""

import dataclasses
import shutil

import h5py
import numpy as np
import pytest

from kits_tf.errors import UsageError
from kits_tf.training import run, settings
from tests import planted
from tests.training.tiny_runs import tiny_config, train

STILL = {"num_steps": 1, "learning_rate": 1e-9, "schedule": "constant", "warmup_steps": 0}


@pytest.fixture(name="data", scope="module")
def prepared_data(tmp_path_factory):
    return planted.prepared_folder(tmp_path_factory.mktemp("data"), count=2)


@pytest.fixture(name="before", scope="module")
def first_training(data, tmp_path_factory):
    """A checkpoint folder whose axial network took a few steps at a high rate."""
    folder = tmp_path_factory.mktemp("before")
    assert train(data, folder, tiny_config(learning_rate=0.05), deterministic=False)
    return folder


def start(data, folder, pretrained, config, report=print):
    """Trains from given weights."""
    depends_on = settings.Settings(seed=7, pretrained=str(pretrained))
    return run.run(config, data, folder, depends_on, settings.Machine(strategy="one"), report)


def weights(folder):
    """All weights of a folder's axial network as one vector, in the order of their names."""
    found = []
    with h5py.File(folder / "kidney_axial" / "model.weights.h5") as file:
        file.visititems(lambda _, item: found.append(np.ravel(item)) if hasattr(item, "shape") else None)
    return np.concatenate(found)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_a_step_of_no_length_leaves_the_weights_that_were_given(data, before, tmp_path, decay):
    assert start(data, tmp_path, before, tiny_config(**STILL, average_decay=decay))
    np.testing.assert_allclose(weights(tmp_path), weights(before), atol=1e-6)
    assert train(data, tmp_path / "random", tiny_config(**STILL), seed=7, deterministic=False)
    assert np.abs(weights(tmp_path / "random") - weights(before)).max() > 0.1


def test_a_run_that_goes_on_does_not_start_anew(data, before, tmp_path):
    """The second part of the run finds other weights in the folder it started from, which must not matter."""
    source = tmp_path / "source"
    shutil.copytree(before, source)
    assert start(data, tmp_path, source, tiny_config(**STILL))
    assert train(data, tmp_path / "other", tiny_config(num_steps=2), deterministic=False)
    shutil.copy(tmp_path / "other" / "kidney_axial" / "model.weights.h5", source / "kidney_axial")
    assert start(data, tmp_path, source, tiny_config(**{**STILL, "num_steps": 2}))
    np.testing.assert_allclose(weights(tmp_path), weights(before), atol=1e-6)


def test_a_run_says_what_it_starts_from(data, before, tmp_path):
    said = []
    assert start(data, tmp_path, before, tiny_config(**STILL), said.append)
    assert any(line.startswith(f"kidney_axial: starts from {before}, 1 steps") for line in said)


def test_another_start_is_another_run(data, before, tmp_path):
    assert start(data, tmp_path, before, tiny_config(**STILL))
    with pytest.raises(UsageError, match="pretrained is .* there, None asked"):
        train(data, tmp_path, tiny_config(**STILL), seed=7, deterministic=False)


def test_another_architecture_is_refused_and_nothing_written(data, before, tmp_path):
    said = []
    with pytest.raises(UsageError, match="pretrained: .*base_filters is 2 there, 4 asked"):
        start(data, tmp_path / "out", before, tiny_config(base_filters=4, inplane_mm=2.7), said.append)
    assert not (tmp_path / "out").exists()
    assert not said, "no case is resized before the weights are looked at"


def test_a_folder_without_the_network_is_refused(data, before, tmp_path):
    with pytest.raises(UsageError, match="pretrained: .* holds no kidney_coronal"):
        start(data, tmp_path, before, tiny_config("kidney_coronal"))


def test_weights_learned_on_other_intensities_are_told(data, before, tmp_path):
    config, said = dataclasses.replace(tiny_config(**STILL), clip_low_hu=-500.0), []
    assert start(data, tmp_path, before, config, said.append)
    assert any("clip_low_hu is -200.0 there, -500.0 asked" in line for line in said)
