"""Proves that runs stopped by SIGTERM or kill -9 end as an uninterrupted one, and that all strategies agree.

Determinism and logical devices are set for a whole process, so each run has a process of its own (`tiny_runs`).
"""

import csv
import json
import os
import random
import signal
import socket
import subprocess
import time
import types

import h5py
import keras
import numpy as np
import pytest

from kits_tf import config as configs
from kits_tf import models
from kits_tf.training import loop
from kits_tf.training.run import TrainingError, check_agreement
from kits_tf.training.validation import StopError, Validation
from tests import planted
from tests.training.tiny_runs import NETWORKS, program, run_program, tiny_config, train

STEPS = 20
# A low rate: Adam blows rounding up, and at 0.01 the losses of step 20 agree to 4e-4 alone.
OPTIONS = [
    f"--set=num_steps={STEPS}",
    "--set=learning_rate=0.001",
    "--set=clip_norm=0.1",
    "--set=average_decay=0.9",
]
VALIDATED = ["--set=validate_every=10", "--set=keep=best"]
PATIENCE_S = 1200  # a busy machine's, for a process to get somewhere


@pytest.fixture(name="data", scope="module")
def prepared_data(tmp_path_factory):
    return planted.prepared_folder(tmp_path_factory.mktemp("data"), count=4, num_validation=2)


@pytest.fixture(name="whole", scope="module")
def uninterrupted(data, tmp_path_factory):
    """The folder of the four networks, trained by one device without a stop."""
    folder = tmp_path_factory.mktemp("whole")
    run_program(",".join(NETWORKS), data, folder, *OPTIONS)
    return folder


def rows(folder):
    """The rows of history.csv, and only whole ones."""
    path = folder / "history.csv"
    text = path.read_text() if path.is_file() else ""
    return [line.split(",") for line in text[: text.rfind("\n") + 1].splitlines()]


def losses(folder):
    """[steps, columns] without the header."""
    return np.array(rows(folder)[1:], float)


def weights(folder):
    found = {}
    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(lambda name, item: found.update({name: np.array(item)}) if hasattr(item, "shape") else None)
    return found


def largest_difference(first, second):
    first, second = weights(first), weights(second)
    assert first.keys() == second.keys() and len(first) > 4
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def start_and_wait_for(line, folder, steps):
    """Starts a run and waits until its history holds so many steps."""
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    end = time.monotonic() + PATIENCE_S
    while len(rows(folder)) <= steps and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    return process


def test_killed_three_times_it_ends_as_an_uninterrupted_run(whole, data, tmp_path):
    """Kill -9 at random moments, which may be in the middle of a row, a state or a step."""
    line = program("kidney_axial", data, tmp_path, *OPTIONS, "--save_seconds=0", "--max_call_steps=1")
    chance = random.Random(1)
    for least in (2, 7, 12):
        process = start_and_wait_for(line, tmp_path / "kidney_axial", least + chance.randrange(4))
        time.sleep(chance.random() / 10)
        process.kill()
        process.communicate()
    run_program(*line[3:])
    assert rows(tmp_path / "kidney_axial") == rows(whole / "kidney_axial")
    assert [row[0] for row in rows(tmp_path / "kidney_axial")] == ["step", *map(str, range(1, STEPS + 1))]
    assert largest_difference(tmp_path / "kidney_axial", whole / "kidney_axial") == 0
    assert json.loads((tmp_path / "kidney_axial" / "config.json").read_text())["base_filters"] == 2


def test_stopped_by_sigterm_it_goes_on_and_nothing_is_lost(whole, data, tmp_path):
    line = program("kidney_coronal", data, tmp_path, *OPTIONS, "--max_call_steps=1")
    process = start_and_wait_for(line, tmp_path / "kidney_coronal", 3)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    done = len(rows(tmp_path / "kidney_coronal")) - 1
    assert 3 <= done < STEPS and (tmp_path / "kidney_coronal" / "state" / f"step-{done}.index").is_file()
    run_program(*line[3:])
    assert rows(tmp_path / "kidney_coronal") == rows(whole / "kidney_coronal")
    assert largest_difference(tmp_path / "kidney_coronal", whole / "kidney_coronal") == 0


@pytest.mark.parametrize("network", NETWORKS)
def test_two_replicas_equal_one_device(whole, data, tmp_path, network):
    """Same seed and global batch on two logical CPUs, group normalization: losses to 1e-4, weights to 1e-3.

    A process for each network: TensorFlow remembers the shapes of a process's first MirroredStrategy on CPUs.
    """
    run_program(network, data, tmp_path, *OPTIONS, "--devices=2", "--strategy=mirrored")
    assert len(losses(tmp_path / network)) == STEPS
    np.testing.assert_allclose(losses(tmp_path / network), losses(whole / network), rtol=1e-4)
    assert largest_difference(tmp_path / network, whole / network) < 1e-3


def test_replicas_share_the_statistics_of_batch_normalisation(data, tmp_path):
    """The first layer's moving mean after one step: over two replicas with half a batch each, that of the whole."""
    options = "--set=normalization=batch", "--set=num_steps=1", "--set=augment=false"
    for name, more in {"one": [], "two": ["--devices=2", "--strategy=mirrored"]}.items():
        run_program("kidney_coronal", data, tmp_path / name, *options, *more)
    found = []
    for name in ("one", "two"):
        model = models.build(configs.load(tmp_path / name / "kidney_coronal" / "config.json"))
        start = {id(layer): layer.moving_mean.numpy() for layer in batch_norms(model)}
        model.load_weights(tmp_path / name / "kidney_coronal" / "model.weights.h5")
        layer = batch_norms(model)[0]
        assert np.abs(layer.moving_mean.numpy() - start[id(layer)]).max() > 1e-3
        found.append(layer.moving_mean.numpy())
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)
    assert np.isfinite(losses(tmp_path / "two" / "kidney_coronal")).all()


def batch_norms(model):
    """The layers of batch normalisation, in order."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


@pytest.mark.parametrize("steps, apart", [((100, 100, 100), False), ((0, 100, 200), True), ((500, 0), True)])
def test_workers_that_continue_at_different_steps_all_stop(tmp_path, steps, apart):
    mean = sum(steps) / len(steps)
    share = sum(abs(step - mean) > 0.5 for step in steps) / len(steps)
    for step in steps:
        answers = iter([[mean], [share]])
        trainer = types.SimpleNamespace(agree=lambda number, answers=answers: next(answers))
        if apart:
            with pytest.raises(TrainingError, match=f"step {step}, others elsewhere"):
                check_agreement(trainer, tmp_path, step)
        else:
            check_agreement(trainer, tmp_path, step)


def test_curves_that_are_missing_at_the_end_are_drawn_by_the_next_start(data, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "kidney_axial" / "curves.png"
    for _ in range(2):
        assert train(data, tmp_path, tiny_config(num_steps=1), deterministic=False)
        assert picture.read_bytes().startswith(b"\x89PNG")
        picture.unlink()


def start_workers(monkeypatch, data, folder, *options):
    """Starts two workers on this machine."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    processes = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]}, "task": task}
        monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
        line = program("kidney_sagittal", data, folder, *OPTIONS, *VALIDATED, "--strategy=multi_worker", *options)
        line.append(f"--weights={folder}/worker_{index}.npz")
        processes.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    return processes


def test_two_workers_equal_one_device_also_when_one_was_killed(whole, data, tmp_path, monkeypatch):
    """A killed worker ends the other with a line that says what to do; started again, both end as one device.

    They validate as well, one case each, which one device did not.
    """
    folder = tmp_path / "kidney_sagittal"
    first, second = start_workers(monkeypatch, data, tmp_path, "--save_seconds=0", "--max_call_steps=1")
    end = time.monotonic() + PATIENCE_S
    while len(rows(folder)) <= 5 and first.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(second.pid, signal.SIGKILL)
    said, _ = first.communicate(timeout=PATIENCE_S)
    second.communicate()
    assert first.returncode == 1, said[-3000:]
    assert "another worker is gone; the same command" in said.splitlines()[-1]
    assert 5 <= len(losses(folder)) < STEPS
    for process in start_workers(monkeypatch, data, tmp_path):
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said[-3000:]
    np.testing.assert_allclose(losses(folder), losses(whole / "kidney_sagittal"), rtol=1e-4)
    with open(folder / "validation.csv", encoding="utf-8") as file:
        scores = list(csv.reader(file))
    assert [row[0] for row in scores] == ["step", "10", "20"] and len(scores[0]) == 2 + 2
    assert all(
        float(row[1]) == pytest.approx(np.mean([float(dice) for dice in row[2:]]), abs=1e-6) for row in scores[1:]
    )
    assert (folder / "best.weights.h5").read_bytes() == (folder / "model.weights.h5").read_bytes()
    own = [list(np.load(tmp_path / f"worker_{index}.npz").values()) for index in range(2)]
    assert all((a == b).all() for a, b in zip(*own, strict=True))


def test_ctrl_c_at_one_worker_stops_both_at_one_step(data, tmp_path, monkeypatch):
    folder = tmp_path / "kidney_sagittal"
    first, second = start_workers(monkeypatch, data, tmp_path, "--max_call_steps=1")
    end = time.monotonic() + PATIENCE_S
    while len(rows(folder)) <= 3 and first.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    second.send_signal(signal.SIGINT)
    for process, code in ((first, 143), (second, 130)):
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == code, said[-3000:]
        done = len(rows(folder)) - 1
        assert f"{folder} is saved at step {done}, and the same command goes on there" in said.splitlines()[-1]
    assert 3 <= done < STEPS and (folder / "state" / f"step-{done}.index").is_file()


def test_a_last_validation_that_was_cut_short_is_made_up_for(data, tmp_path, monkeypatch):
    """Of a run in this process; SIGTERM comes while the validation after the last step runs."""
    config, terminations = tiny_config(num_steps=2, validate_every=2), []

    class Noted(loop.Termination):
        def __init__(self):
            super().__init__()
            terminations.append(self)

    def stop(*_):
        terminations[-1].asked = True
        raise StopError

    with monkeypatch.context() as patches:
        patches.setattr(loop, "Termination", Noted)
        patches.setattr(Validation, "scores", stop)
        assert not train(data, tmp_path, config, deterministic=False)
    scores = tmp_path / "kidney_axial" / "validation.csv"
    assert not scores.exists()
    assert train(data, tmp_path, config, deterministic=False)
    assert [line.split(",")[0] for line in scores.read_text().splitlines()] == ["step", "2"]
    weights_file = tmp_path / "kidney_axial" / "model.weights.h5"
    before = weights_file.stat().st_mtime_ns
    assert train(data, tmp_path, config, deterministic=False)  # all is done
    assert weights_file.stat().st_mtime_ns == before
