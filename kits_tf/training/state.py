"""The files of a training run: its settings, the training state and the weights."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kits_tf import checkpoint, files, models
from kits_tf import config as configs
from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from kits_tf.config import NetworkConfig
from kits_tf.errors import InputError, UsageError, one_line

SETTINGS_NAME = "training.json"
STATE_FOLDER = "state"
KEPT_STATES = 3

# Options that change what a network sees of a CT; pretrained weights may differ in them.
PREPROCESSING = ("clip_low_hu", "clip_high_hu", "inplane_mm", "slice_mm", "mirror", "grid", "blocks")


class TrainingError(Exception):
    """Training ended early for a reason other than the flags; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run depends on besides its config; stored in `training.json`, and must be the same on resume."""

    seed: int = 0  # of weights, order and augmentation
    precision: str = "float32"  # a Keras dtype policy
    kidney_masks: str | None = None  # "labels" or a folder, for the tumor network
    data: str | None = None  # a digest of the prepared cases; `run` fills it in
    pretrained: str | None = None  # a checkpoint folder or the name of released weights to start from


def check_folder(folder: pathlib.Path, config: NetworkConfig, settings: Settings) -> None:
    """Raise UsageError for a folder of another run; more steps are allowed unless the schedule depends on them."""
    if not saved_states(folder) and not (folder / WEIGHTS_NAME).is_file():
        return  # an earlier run ended before it saved anything
    there = dataclasses.asdict(configs.load(folder / CONFIG_NAME))
    asked = dataclasses.asdict(config) | dataclasses.asdict(settings)
    is_extended = asked["num_steps"] > there["num_steps"]
    if is_extended and there["schedule"] == asked["schedule"] != "cosine":
        there["num_steps"] = asked["num_steps"]
    there |= {name: value for name, value in _read_settings(folder / SETTINGS_NAME).items() if name in asked}
    different = _differences(there, asked, there)
    if different:
        hint = "; the rates of schedule=cosine depend on num_steps" if "num_steps" in different and is_extended else ""
        raise UsageError("checkpoint_dir", f"{folder} holds another run ({different}{hint}); use another folder")


def write_settings(folder: pathlib.Path, config: NetworkConfig, settings: Settings) -> None:
    """Write `config.json` and `training.json`."""
    configs.save(config, folder / CONFIG_NAME)
    files.write_text(folder / SETTINGS_NAME, json.dumps(dataclasses.asdict(settings), indent=2) + "\n")


def _read_settings(path: pathlib.Path) -> dict[str, Any]:
    """Return the settings of an earlier run; empty if there are none."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError):
        raise InputError(path, "is not a file of kits-train") from None


def find_pretrained(name_or_folder: str, config: NetworkConfig, report: Callable[[str], None]) -> pathlib.Path:
    """Return the folder of a network in another checkpoint; raise UsageError if it has another architecture."""
    name = checkpoint.network_name(config)
    folder = checkpoint.find(name_or_folder)
    if not (folder / name).is_dir():
        raise UsageError("pretrained", f"{folder} holds no {name}")
    there, asked = vars(checkpoint.load_configs(folder, [name])[name]), vars(config)
    architecture = set(models.architecture(config)) - {"batch_norm_momentum"}
    different = _differences(there, asked, architecture)
    if different:
        raise UsageError("pretrained", f"{folder / name} has another architecture ({different})")
    seen = _differences(there, asked, PREPROCESSING)
    if seen:
        report(f"{name}: the weights of {name_or_folder} were trained with other preprocessing ({seen})")
    return folder / name


def _differences(there: Mapping[str, Any], asked: Mapping[str, Any], names: Collection[str]) -> str:
    """Return which of the named options differ, in words; empty if none does."""
    different = sorted(name for name in names if name in asked and there[name] != asked[name])
    return "; ".join(f"{name} is {there[name]} there, {asked[name]} here" for name in different)


class TrainingState:
    """The training state on disk, `state/`, and the weights for prediction, `model.weights.h5`.

    Everything else is a function of the seed and the step, or is stored in `validation.csv`.

    Args:
        folder: The network's folder.
        parts: What to save, by name: "model", "optimizer", ...
        network: A float32 copy of the network on one device, for the weights that are validated and kept.
        is_chief: Whether this process writes the shared files. Others save to a temporary folder, because saving reads
            the variables of all replicas.
    """

    def __init__(
        self, folder: pathlib.Path, parts: dict[str, Any], network: keras.Model, is_chief: bool = True
    ) -> None:
        self.folder = folder
        self.network = network
        self.step = 0  # of the last saved state
        self._is_chief = is_chief
        self._states = folder / STATE_FOLDER
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._checkpoint = tf.train.Checkpoint(**parts, step=self._step)
        if is_chief:
            self._states.mkdir(parents=True, exist_ok=True)
        self._scratch = tempfile.TemporaryDirectory()
        target = str(self._states) if is_chief else self._scratch.name
        self._manager = tf.train.CheckpointManager(self._checkpoint, target, KEPT_STATES, checkpoint_name="step")

    def restore(self) -> None:
        """Restore the newest readable state; raise InputError if none can be read or it is another network's."""
        states = saved_states(self.folder)
        for _, path in reversed(states):
            try:
                self._checkpoint.restore(str(path)).assert_existing_objects_matched()
                self.step = int(self._step.numpy())
                return
            except (AssertionError, ValueError):  # a readable file with other variables or shapes
                raise InputError(path, "is the state of another network; use another --checkpoint_dir") from None
            except Exception as error:  # TensorFlow's reader raises many kinds of errors on a damaged file
                print(f"warning: {path} is skipped: {one_line(error)}", file=sys.stderr, flush=True)
        if states:
            raise InputError(self._states, "no saved state can be read; move the folder away to start again")

    def copy_weights(self, weights: list[np.ndarray]) -> None:
        """Set the weights of the float32 copy."""
        self.network.set_weights(weights)

    def save(self, step: int, weights: list[np.ndarray]) -> None:
        """Save the weights for prediction, then the state after `step` steps; earlier states stay intact on errors."""
        if not all(np.isfinite(weight).all() for weight in weights):
            raise TrainingError(f"a weight is not finite at step {step}")
        self.copy_weights(weights)
        self.save_weights(self.folder / WEIGHTS_NAME)
        self._step.assign(step)
        try:
            self._manager.save(checkpoint_number=step)
        except (OSError, tf.errors.OpError) as error:
            for part in filter(pathlib.Path.is_file, self._states.glob(f"step-{step}[._]*")):
                part.unlink()
            raise InputError(self._states, f"step {step} cannot be written ({one_line(error)})") from None
        self.step = step

    def save_weights(self, path: pathlib.Path) -> None:
        """Write the copy's weights, on the chief only."""
        if not self._is_chief:
            return
        try:
            with files.replacing(path) as temporary:
                self.network.save_weights(temporary)
        except (OSError, RuntimeError) as error:  # HDF5 raises either
            raise InputError(path, f"cannot be written ({one_line(error)})") from None


def float32_network(config: NetworkConfig) -> keras.Model:
    """Build a network in float32, as prediction loads it, regardless of the global dtype policy."""
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("float32")
    try:
        return models.build(config)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)


def saved_states(folder: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """Return (step, path without suffix) of every state in a network's folder, the oldest first."""
    paths = [path.with_suffix("") for path in (folder / STATE_FOLDER).glob("step-*.index")]
    return sorted((int(path.name.removeprefix("step-")), path) for path in paths)
