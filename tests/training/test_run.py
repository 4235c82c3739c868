"""Proves that stopped runs end as uninterrupted ones, that all strategies agree, and how a run ends early.

Determinism and logical devices are set for a whole process, so such runs have processes of their own (`tiny_runs`).
"""

import json
import shutil
import signal
import socket
import subprocess
import time

import h5py
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from kits_tf.data.stage_inputs import kidney_samples
from kits_tf.errors import UsageError
from kits_tf.training import loop, run
from kits_tf.training.state import Settings, TrainingError
from tests import planted
from tests.training.tiny_runs import program, run_program, tiny_config, train

STEPS = 10
PRESETS = {  # with their own normalization and loss; `best` has those of `paper`
    "kidney_axial": "--preset=small",
    "kidney_sagittal": "--preset=paper",
    "tumor": "--preset=small",
}
# A low rate, as Adam amplifies rounding.
RATE = "--set=learning_rate=0.001"
COMMON = [RATE, f"--set=num_steps={STEPS}", "--set=average_decay=0.9", "--set=clip_norm=0.1", "--set=validate_every=5"]
PATIENCE_S = 600  # a busy machine's, for a process to get somewhere


@pytest.fixture(name="data", scope="module")
def prepared_data(tmp_path_factory):
    return planted.prepared_folder(tmp_path_factory.mktemp("data"), count=4, num_validation=2)


@pytest.fixture(name="whole", scope="module")
def uninterrupted(data, tmp_path_factory):
    """A checkpoint folder of networks trained by one device without a stop."""
    folder = tmp_path_factory.mktemp("whole")
    for network in ("kidney_axial,tumor", "kidney_sagittal"):
        run_program(network, data, folder, PRESETS[network.split(",")[0]], *COMMON)
    return folder


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


def wait_for(processes, folder, steps):
    """Wait until the history of started processes has so many steps."""
    end = time.monotonic() + PATIENCE_S
    while len(history(folder)) < steps and processes[0].poll() is None and time.monotonic() < end:
        time.sleep(0.01)


def start(line):
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_killed_twice_and_stopped_it_ends_as_an_uninterrupted_run(whole, data, tmp_path):
    folder = tmp_path / "kidney_axial"
    line = program("kidney_axial", data, tmp_path, "--preset=small", *COMMON, "--save_seconds=0", "--max_call_steps=1")
    for steps, number, code in ((2, signal.SIGKILL, -9), (4, signal.SIGKILL, -9), (6, signal.SIGTERM, 143)):
        process = start(line)
        wait_for([process], folder, steps)
        process.send_signal(number)
        said, _ = process.communicate()
        assert process.returncode == code, said[-3000:]
    done = len(history(folder))
    assert 6 <= done < STEPS and (folder / "state" / f"step-{done}.index").is_file()
    run_program(*line[3:])
    for name in ("history.csv", "validation.csv"):
        assert (folder / name).read_text() == (whole / "kidney_axial" / name).read_text()
    assert list(history(folder)["step"]) == list(range(1, STEPS + 1))
    assert largest_difference(folder, whole / "kidney_axial") == 0
    assert (folder / "model.weights.h5").is_file() and (folder / "best.weights.h5").is_file()


@pytest.mark.parametrize("network", ["kidney_axial", "tumor"])
def test_two_replicas_equal_one_device(whole, data, tmp_path, network):
    """Two logical CPUs share batch and statistics. TensorFlow remembers shapes, so each network has its process."""
    run_program(network, data, tmp_path, PRESETS[network], *COMMON, "--devices=2", "--strategy=mirrored")
    np.testing.assert_allclose(history(tmp_path / network), history(whole / network), rtol=1e-4)
    assert largest_difference(tmp_path / network, whole / network) < 1e-3


def start_workers(monkeypatch, data, folder, network, *options):
    """Start two workers on this machine."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    processes = []
    for index in range(2):
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(task))
        line = program(network, data, folder, PRESETS[network], *COMMON, "--strategy=multi_worker", *options)
        processes.append(start([*line, f"--weights={folder}/worker_{index}.npz"]))
    return processes


def finish_workers(processes, *codes):
    """Wait for the workers' exit codes; return their last lines."""
    said = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
    for process, code, text in zip(processes, codes, said, strict=True):
        assert process.returncode == code, text[-3000:]
    return [text.splitlines()[-1] for text in said]


def test_two_workers_equal_one_device_also_after_a_signal_and_a_kill(whole, data, tmp_path, monkeypatch):
    """Ctrl-C at one worker stops both at one step; a killed worker ends the other with a line; both then resume."""
    folder, slow = tmp_path / "kidney_sagittal", ("--save_seconds=0", "--max_call_steps=1")
    workers = start_workers(monkeypatch, data, tmp_path, "kidney_sagittal", *slow)
    wait_for(workers, folder, 2)
    workers[1].send_signal(signal.SIGINT)
    lines = finish_workers(workers, 143, 130)
    done = len(history(folder))
    assert 2 <= done < STEPS and all(f"{folder} is saved at step {done};" in line for line in lines)
    workers = start_workers(monkeypatch, data, tmp_path, "kidney_sagittal", *slow)
    wait_for(workers, folder, done + 2)
    workers[1].kill()
    assert "another worker is gone" in finish_workers(workers, 1, -9)[0]
    finish_workers(start_workers(monkeypatch, data, tmp_path, "kidney_sagittal"), 0, 0)
    np.testing.assert_allclose(history(folder), history(whole / "kidney_sagittal"), rtol=1e-4)
    scores = pd.read_csv(folder / "validation.csv")
    assert list(scores["step"]) == [5, 10]
    np.testing.assert_allclose(scores["kidney_dice"], scores.iloc[:, 2:].mean(axis=1), atol=1e-6)
    own = [list(np.load(tmp_path / f"worker_{index}.npz").values()) for index in range(2)]
    assert all((a == b).all() for a, b in zip(*own, strict=True))


STILL = {"num_steps": 1, "learning_rate": 1e-9, "schedule": "constant", "warmup_steps": 0}


def test_a_run_starts_from_pretrained_weights_once(data, whole, tmp_path):
    """The second part of the run finds other weights in the folder it started from, which must not matter."""
    source, out, said = tmp_path / "source", tmp_path / "out", []
    shutil.copytree(whole / "kidney_axial", source / "kidney_axial")
    normalization = {"normalization": "batch", "batch_norm_momentum": 0.0, "augment": False}

    def from_source(**options):
        config = tiny_config(**{**STILL, "average_decay": 0.9, **normalization, **options})
        settings = Settings(seed=7, pretrained=str(source))
        return run.run(config, data, out, settings, run.Machine(strategy="one"), said.append)

    assert from_source()
    assert any(line.startswith(f"kidney_axial: starts from {source}, 1 steps") for line in said)
    trained = {name: value for name, value in weights(whole / "kidney_axial").items() if "normalization" not in name}
    for name, value in trained.items():
        np.testing.assert_allclose(weights(out / "kidney_axial")[name], value, atol=1e-6)
    shutil.rmtree(source)
    assert from_source(num_steps=2)
    assert any("resumes at step 1" in line for line in said)
    with pytest.raises(UsageError, match="pretrained is .* there, None here"):
        train(data, out, tiny_config(**STILL, average_decay=0.9, **normalization), seed=7, deterministic=False)


def end_of_training(data, folder, network="kidney_axial"):
    """The message of a run that ends early."""
    with pytest.raises(TrainingError) as error:
        train(data, folder, tiny_config(network), deterministic=False)
    return str(error.value)


@pytest.mark.parametrize("network", ["kidney_axial", "tumor"])
def test_a_damaged_record_is_named(tmp_path, network):
    data = planted.prepared_folder(tmp_path, count=1)
    path = data / "cases" / "case_00000.tfrecord"
    if network == "tumor":
        path = kidney_samples([path], tiny_config("tumor"), "labels", tmp_path / "tumor" / "samples")[1]["path"]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    said = end_of_training(data, tmp_path, network)
    assert said.startswith(f"{tmp_path}/{network}: {path}: ") and "\n" not in said and "{{" not in said
    assert "run kits-prepare again; no state is saved yet" in said


@pytest.mark.parametrize(
    "message, said",
    [
        ("OOM when allocating tensor with shape[8,96,96,96,16]", "smaller --batch_size or --set=accumulation=N"),
        ("kidney_axial/tensorboard/events; No space left on device", ": No space left on device; "),
    ],
)
def test_what_is_exhausted_is_said(data, tmp_path, monkeypatch, message, said):
    def fail(trainer, iterator, count):
        raise tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(loop.Trainer, "run", fail)
    assert said in end_of_training(data, tmp_path)


def test_faults_of_the_program_are_not_blamed_on_the_data(data, tmp_path):
    with pytest.raises(tf.errors.InvalidArgumentError):
        with run.explained_errors(tmp_path, tiny_config(), []):
            raise tf.errors.InvalidArgumentError(None, None, "Incompatible shapes: [2,3] vs. [3,2]")


def test_a_finished_run_leaves_its_folder_alone(data, tmp_path):
    config = tiny_config(num_steps=2, validate_every=1, keep="best")
    assert train(data, tmp_path, config, deterministic=False)
    folder = tmp_path / "kidney_axial"
    assert (folder / "best.weights.h5").read_bytes() == (folder / "model.weights.h5").read_bytes()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert train(data, tmp_path, config, deterministic=False)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
