"""Proves that stopped runs end as uninterrupted ones, that all strategies agree, and how a run ends early.

Determinism and logical devices are set for a whole process, so such runs have processes of their own (`tiny_runs`).
"""

import json
import re
import shutil
import signal
import socket
import time

import h5py
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from kits_tf import config as configs
from kits_tf.data.stage_inputs import kidney_samples
from kits_tf.errors import UsageError
from kits_tf.training import data as training_data
from kits_tf.training import run
from kits_tf.training.state import Settings, TrainingError
from tests import planted
from tests.training.tiny_runs import start, tiny_config, train

STEPS = 8
# A low rate, as Adam amplifies rounding.
COMMON = {"learning_rate": 0.001, "num_steps": STEPS, "average_decay": 0.9, "clip_norm": 0.1}
SCORED = {**COMMON, "validate_every": 4}
AXIAL = ("small", SCORED)
SAGITTAL = ("paper", SCORED)
TUMOR = ("small", COMMON)
GROUP = ("small", {**COMMON, "normalization": "group"})
PATIENCE_S = 600  # a busy machine's, for a process to get somewhere


def history(folder):
    """The history as far as it is written."""
    path = folder / "history.csv"
    return pd.read_csv(path) if path.is_file() and path.stat().st_size else pd.DataFrame()


def weights(folder):
    found = {}
    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(lambda name, item: found.update({name: np.array(item)}) if hasattr(item, "shape") else None)
    return found


def largest_difference(first, second):
    first, second = weights(first), weights(second)
    assert first.keys() == second.keys() and len(first) > 4
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def stop(processes, number, folder, steps):
    """Send a signal to the last process when the history has so many steps."""
    end = time.monotonic() + PATIENCE_S
    while len(history(folder)) < steps and processes[0].poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    processes[-1].send_signal(number)


def finish(processes, *codes):
    """Wait for the processes' exit codes; return what they said."""
    said = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
    for process, code, text in zip(processes, codes, said, strict=True):
        assert process.returncode == code, text[-3000:]
    return said


@pytest.fixture(name="done", scope="module")
def all_runs(prepared, tmp_path_factory):
    """A folder of networks of one device and of two replicas; "killed" is first killed twice, then resumed."""
    folder = tmp_path_factory.mktemp("runs")
    killed = ("kidney_axial", folder / "killed", "one", *AXIAL)
    for steps in (2, 5):
        process = start(prepared, killed, slow=True)
        stop([process], signal.SIGKILL, folder / "killed" / "kidney_axial", steps)
        finish([process], -9)
    runs = [
        killed,
        ("kidney_axial", folder / "one", "one", *AXIAL),
        ("kidney_axial", folder / "two", "mirrored", *AXIAL),
        ("tumor", folder / "one", "one", *TUMOR),
        ("tumor", folder / "two", "mirrored", *TUMOR),
        ("kidney_sagittal", folder / "one", "one", *SAGITTAL),
        ("tumor", folder / "group", "one", *GROUP),
    ]
    finish([start(prepared, *runs, devices=2)], 0)
    return folder


def test_killed_twice_it_ends_as_an_uninterrupted_run(done):
    killed, whole = done / "killed" / "kidney_axial", done / "one" / "kidney_axial"
    for name in ("history.csv", "validation.csv"):
        assert (killed / name).read_text() == (whole / name).read_text()
    assert list(history(killed)["step"]) == list(range(1, STEPS + 1))
    assert largest_difference(killed, whole) == 0
    assert (killed / "best.weights.h5").is_file()


@pytest.mark.parametrize("network, rtol", [("kidney_axial", 1e-4), ("tumor", 3e-4)])
def test_two_replicas_equal_one_device(done, network, rtol):
    """Two logical CPUs share batch and statistics."""
    np.testing.assert_allclose(history(done / "two" / network), history(done / "one" / network), rtol=rtol)
    assert largest_difference(done / "two" / network, done / "one" / network) < 1e-3


def test_these_runs_have_the_normalizations_of_every_preset():
    presets = [configs.preset(name, stage, "axial") for name in configs.PRESETS for stage in configs.KINDS]
    kinds = {(config.stage, config.normalization) for config in presets}
    assert kinds == {("kidney", "batch"), ("tumor", "batch"), ("tumor", "group")}


def start_workers(monkeypatch, data, folder, *runs, **options):
    """Start two workers on this machine."""
    free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    cluster = {"worker": [f"127.0.0.1:{server.getsockname()[1]}" for server in free]}
    for server in free:
        server.close()
    processes = []
    for index in range(2):
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}))
        processes.append(start(data, *runs, **options, weights=f"{folder}/worker_{index}"))
    return processes


def test_two_workers_equal_one_device_also_after_a_signal(done, prepared, tmp_path, monkeypatch):
    """Ctrl-C at one worker stops both at one step; they resume, and train a second network."""
    folder = tmp_path / "kidney_sagittal"
    kidney = ("kidney_sagittal", tmp_path, "multi_worker", *SAGITTAL)
    tumor = ("tumor", tmp_path, "multi_worker", *GROUP)
    workers = start_workers(monkeypatch, prepared, tmp_path, kidney, kidney, tumor, slow=True)
    stop(workers, signal.SIGINT, folder, 2)
    first, second = finish(workers, 0, 0)
    step = re.search(rf"interrupted; {folder}: saved at step (\d+); the same command resumes", second)[1]
    assert f"{folder}: stopped; saved at step {step}; " in first and f"resumes at step {step}," in first
    np.testing.assert_allclose(history(folder), history(done / "one" / "kidney_sagittal"), rtol=1e-4)
    np.testing.assert_allclose(history(tmp_path / "tumor"), history(done / "group" / "tumor"), rtol=1e-4)
    scores = pd.read_csv(folder / "validation.csv")
    assert list(scores["step"]) == [4, 8]
    np.testing.assert_allclose(scores["kidney_dice"], scores.iloc[:, 2:].mean(axis=1), atol=1e-6)
    for network in ("kidney_sagittal", "tumor"):
        own = [np.load(tmp_path / f"worker_{index}_{network}.npz").values() for index in range(2)]
        assert all((a == b).all() for a, b in zip(*own, strict=True))


def test_a_run_starts_from_pretrained_weights_once(prepared, done, tmp_path):
    """The second part of the run finds no weights in the folder it started from, which must not matter."""
    source, out, said = tmp_path / "source", tmp_path / "out", []
    shutil.copytree(done / "one" / "kidney_axial", source / "kidney_axial")
    still = {"num_steps": 1, "learning_rate": 1e-9, "schedule": "constant", "warmup_steps": 0, "average_decay": 0.9}
    still |= {"batch_norm_momentum": 0.0, "augment": False}

    def from_source(**options):
        settings = Settings(seed=7, pretrained=str(source))
        return run.run(tiny_config(**{**still, **options}), prepared, out, settings, run.Machine("one"), said.append)

    assert from_source()
    assert any(line.startswith(f"kidney_axial: starts from {source}, 1 step of") for line in said)
    for name, value in weights(done / "one" / "kidney_axial").items():
        if "normalization" not in name:
            np.testing.assert_allclose(weights(out / "kidney_axial")[name], value, atol=1e-6)
    shutil.rmtree(source)
    assert from_source(num_steps=2)
    assert any("resumes at step 1" in line for line in said)
    with pytest.raises(UsageError, match="pretrained is .* there, None here"):
        train(prepared, out, tiny_config(**still), seed=7, deterministic=False)


@pytest.mark.parametrize("network", ["kidney_axial", "tumor"])
def test_a_damaged_record_is_named(tmp_path, network):
    data, config = planted.prepared_folder(tmp_path, count=1), tiny_config(network)
    path = data / "cases" / "case_00000.tfrecord"
    if network == "tumor":
        path = kidney_samples([path], config, "labels", tmp_path / "tumor" / "samples")[1]["path"]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TrainingError) as error:
        sources = training_data.training_sources(config, data, tmp_path / network)
        with run.explained_errors(tmp_path / network, config, sources):
            next(training_data.distributed(tf.distribute.OneDeviceStrategy("CPU:0"), config, sources, 0, 0))
    said = str(error.value)
    assert said.startswith(f"{tmp_path}/{network}: {path}: ") and "\n" not in said and "{{" not in said
    assert "run kits-prepare again; nothing is saved yet" in said


@pytest.mark.parametrize(
    "error, said",
    [
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
            "a smaller --batch_size or --set=accumul",
        ),
        (tf.errors.ResourceExhaustedError(None, None, "a/b; No space left on device"), ": No space left on device; "),
        (tf.errors.UnavailableError(None, None, "Socket closed\nmore"), r"another worker is gone \(Socket closed\)"),
        (TrainingError("loss is not finite at step 3"), "not finite at step 3; a lower --learning_rate .* may help"),
    ],
)
def test_what_ended_a_run_is_said(tmp_path, monkeypatch, error, said):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(TrainingError, match=said), run.explained_errors(tmp_path, tiny_config(), []):
        raise error


def test_faults_of_the_program_are_not_blamed_on_others(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for kind in (tf.errors.InvalidArgumentError, tf.errors.InternalError):
        with pytest.raises(kind), run.explained_errors(tmp_path, tiny_config(), []):
            raise kind(None, None, "Incompatible shapes: [2,3] vs. [3,2]")
