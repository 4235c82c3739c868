"""Checkpoint folders: one subfolder per network, with its `config.json` and `model.weights.h5`.

Released weights are checkpoint folders that have a name. They are part of the installed package, or lie next to it in
a source checkout.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kits_tf import config
from kits_tf.config import PLANES, Config, KidneyConfig, TumorConfig
from kits_tf.errors import InputError, one_line

if TYPE_CHECKING:
    import keras

    from kits_tf.models import UNet

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.weights.h5"
HISTORY_NAME, VALIDATION_NAME = "history.csv", "validation.csv"  # written by training, not needed to predict
KIDNEYS_NAME = "kidneys"  # folder of kidney masks that kits-recipe predicts to train the tumor network
CARD_NAME = "README.md"  # only released weights have one
NOTICE_NAME = "notice.txt"

SHARED_OPTIONS = ("min_component_ml", "min_agreement", "fusion")
"""Options that apply to all networks together, so that each network of a checkpoint must have the same values."""

DEFAULT = "default"
"""Name of the released weights that are used by default."""

PACKAGE = pathlib.Path(__file__).resolve().parent


def released_root() -> pathlib.Path:
    """Return the folder of all released weights."""
    installed = PACKAGE / "checkpoints"
    return installed if installed.is_dir() else PACKAGE.parent / "checkpoints"


def released_names() -> list[str]:
    """Return the names of the released weights, sorted."""
    return sorted(card.parent.name for card in released_root().glob(f"*/{CARD_NAME}"))


def find(name_or_folder: str | os.PathLike) -> pathlib.Path:
    """Return the checkpoint folder of a path or of the name of released weights; an existing path takes precedence.

    Raises:
        InputError: it is neither.
    """
    folder = pathlib.Path(name_or_folder)
    if folder.is_dir() and name_or_folder != "":  # as a path, "" would be the current folder
        return folder
    if str(name_or_folder) in released_names():
        return released_root() / folder
    known = ", ".join(released_names()) or "none"
    raise InputError(name_or_folder or "''", f"no such checkpoint folder, nor released weights of that name ({known})")


def network_name(network_config: Config) -> str:
    """Return the name of a network and of its folder: "kidney_axial", ..., or "tumor"."""
    return f"kidney_{network_config.plane}" if isinstance(network_config, KidneyConfig) else "tumor"


def network_names(stage: str = "both", planes: Sequence[str] = PLANES) -> list[str]:
    """Return the names of the networks of a stage ("both", "kidney" or "tumor"), those of the given planes first."""
    kidney = [f"kidney_{plane}" for plane in planes] if stage != "tumor" else []
    return [*kidney, "tumor"] if stage != "kidney" else kidney


def load_configs(folder: pathlib.Path, names: Iterable[str]) -> dict[str, KidneyConfig | TumorConfig]:
    """Read the configs of networks from a checkpoint folder: {network name: config}, in the given order.

    Raises:
        InputError: a config or weights file is missing or invalid, or the networks differ in `SHARED_OPTIONS`.
    """
    configs: dict[str, KidneyConfig | TumorConfig] = {}
    for name in names:
        path = folder / name / CONFIG_NAME
        configs[name] = config.load(path)
        if network_name(configs[name]) != name:
            raise InputError(path, f"is the config of {network_name(configs[name])}, not of {name}")
        if not (folder / name / WEIGHTS_NAME).is_file():
            raise InputError(folder / name / WEIGHTS_NAME, "no such file; has the network been trained?")
        for other in configs:
            if different := shared_difference(configs[name], configs[other]):
                raise InputError(path, f"{different} in {other}")
    return configs


def shared_difference(network_config: Config, other: Config) -> str:
    """Return the first of `SHARED_OPTIONS` that differs between two configs, with both values; "" if none does.

    Example:
        >>> axial, tumor = config.preset("paper", "kidney", "axial"), config.preset("best", "tumor")
        >>> shared_difference(axial, tumor)
        'min_component_ml must be the same in all networks, got 0.0 and 2.0'
    """
    for name in SHARED_OPTIONS:
        if hasattr(network_config, name) and hasattr(other, name):
            ours, theirs = getattr(network_config, name), getattr(other, name)
            if ours != theirs:
                return f"{name} must be the same in all networks, got {ours} and {theirs}"
    return ""


def digest(folder: str | os.PathLike, name: str) -> bytes:
    """Return the SHA-256 of a network's config and weights."""
    whole = hashlib.sha256()
    for part in (CONFIG_NAME, WEIGHTS_NAME):
        whole.update((pathlib.Path(folder) / name / part).read_bytes())
    return whole.digest()


def load_notice(folder: pathlib.Path) -> str:
    """Return the notice for users of a checkpoint in one line: its `notice.txt`, or "" if it has none.

    Raises:
        InputError: the file is unreadable.
    """
    path = folder / NOTICE_NAME
    try:
        return " ".join(path.read_text(encoding="utf-8").split())
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read as text ({type(error).__name__})") from None


def load_weights(folder: pathlib.Path, model: keras.Model) -> None:
    """Load the weights of a network from its own folder.

    Raises:
        InputError: the file does not hold weights of this network, or they are not finite.
    """
    import numpy as np

    path = folder / WEIGHTS_NAME
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(path, f"does not hold weights of the network in {CONFIG_NAME} ({one_line(error)})") from None
    if not all(np.isfinite(weights).all() for weights in model.get_weights()):
        raise InputError(path, "holds weights that are not finite; did the training diverge?")


def load_network(name_or_folder: str | os.PathLike, network: str) -> UNet:
    """Load a network with its weights as a Keras model.

    Args:
        name_or_folder: the name of released weights, or a checkpoint folder.
        network: "kidney_axial", "kidney_coronal", "kidney_sagittal" or "tumor".

    Returns:
        a `kits_tf.models.KidneyNetwork` or `TumorNetwork`. Its input must be on the working grid of the network's
        config, with intensities scaled by `kits_tf.geometry.scale` and the config's `clip_hu`.

    Raises:
        InputError: there is no such checkpoint or network.

    Example:
        >>> import kits_tf
        >>> network = kits_tf.load_network("default", "kidney_axial")
        >>> network.input_shape
        (None, None, None, 3)
    """
    from kits_tf import models

    folder = find(name_or_folder)
    if network not in network_names():
        raise InputError(network, f"no such network; must be one of {', '.join(network_names())}")
    model = models.build(load_configs(folder, [network])[network])
    load_weights(folder / network, model)
    return model
