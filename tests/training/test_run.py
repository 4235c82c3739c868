"""Proves that a stopped and continued run ends exactly as an uninterrupted one, and that strategies agree.

Determinism and logical devices are set for a whole process, so both run in processes of their own: this file.
"""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from kits_tf.config import preset
from tests import planted

STEPS, STOP = 5, 3


def tiny_config():
    """An axial network of base width 2 with group normalization, so that replicas see the same statistics."""
    return dataclasses.replace(
        preset("small", "kidney", "axial"),
        base_filters=2,
        depth=1,
        normalization="group",
        inplane_mm=0.0,
        patch_rows=16,
        patch_columns=16,
        batch_size=4,
        num_steps=STEPS,
        dice_weight=0.0,
    )


def train(data, folder, strategy="one", config=None):
    from kits_tf.training import run

    settings = run.Settings(seed=3)
    return run.run(config or tiny_config(), data, folder, settings, strategy, deterministic=True)


def stop_and_continue(data, folder):
    """Trains with a SIGTERM after STOP steps and a state that is two rows behind history, then goes on."""
    from kits_tf.training import history, loop

    loop.MAX_CALL_STEPS = 1
    append = history.History.append

    def append_and_stop(self, rows):
        append(self, rows)
        if rows[-1]["step"] == STOP:
            os.kill(os.getpid(), signal.SIGTERM)

    history.History.append = append_and_stop
    assert train(data, folder) is False
    history.History.append = append
    path = pathlib.Path(folder) / "kidney_axial" / "history.csv"
    path.write_text(path.read_text() + "4,9,9,9,9\n5,9")  # rows of steps that were lost with a kill
    assert train(data, folder) is True


def main(kind, data, folder):
    """What the tests start: leaves {name: weights} as JSON in `folder`."""
    import tensorflow as tf

    if kind == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    assert train(data, f"{folder}/whole") is True
    if kind == "mirrored":
        assert train(data, f"{folder}/other", "mirrored") is True
    else:
        stop_and_continue(data, f"{folder}/other")
        assert train(data, f"{folder}/other") is True  # nothing left to do


@pytest.fixture(name="data", scope="module")
def prepared_data(tmp_path_factory):
    return planted.prepared_folder(tmp_path_factory.mktemp("data"), count=2)


def run_both(kind, data, folder):
    """Runs `main` and returns the two runs' network folders."""
    line = [sys.executable, "-m", "tests.training.test_run", kind, str(data), str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "whole" / "kidney_axial", folder / "other" / "kidney_axial"


def losses(folder):
    return [line.split(",") for line in (folder / "history.csv").read_text().splitlines()]


def weights(folder):
    import h5py
    import numpy as np

    found = {}
    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(lambda name, item: found.update({name: np.array(item)}) if hasattr(item, "shape") else None)
    return found


def test_a_continued_run_equals_an_uninterrupted_one(data, tmp_path):
    whole, continued = run_both("resume", data, tmp_path)
    assert losses(continued) == losses(whole)
    assert [row[0] for row in losses(whole)] == ["step", *map(str, range(1, STEPS + 1))]
    first, second = weights(whole), weights(continued)
    assert first.keys() == second.keys() and len(first) > 4
    assert all((first[name] == second[name]).all() for name in first)
    assert json.loads((whole / "config.json").read_text())["base_filters"] == 2


def test_two_replicas_equal_one_device(data, tmp_path):
    """Same seed and global batch on two logical CPUs: losses to 1e-4."""
    one, mirrored = run_both("mirrored", data, tmp_path)
    for row, other in zip(losses(one)[1:], losses(mirrored)[1:], strict=True):
        assert [float(value) for value in other] == pytest.approx([float(value) for value in row], rel=1e-4)


if __name__ == "__main__":
    main(*sys.argv[1:])
