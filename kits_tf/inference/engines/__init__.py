"""The engines that run networks.

An engine is a module of this package, named after the library it needs, with a function
`load(folder, configs, precision)` that returns an `Engine`. To add one, write the module and add it to
`config.ENGINES`.
"""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kits_tf.config import ENGINE_PRECISIONS, ENGINES
from kits_tf.errors import UsageError

if TYPE_CHECKING:
    from kits_tf.config import Config
    from kits_tf.inference.engines.base import Engine

_NVIDIA = pathlib.Path("/proc/driver/nvidia/gpus")


def resolve(name: str) -> str:
    """Return the engine that a name stands for; "auto" is OpenVINO on a CPU where it is installed, else TensorFlow.

    Raises:
        UsageError: No engine has that name, or its library is not installed.
    """
    if name == "auto":
        has_openvino = importlib.util.find_spec("openvino") is not None
        return "openvino" if has_openvino and not _NVIDIA.is_dir() else "tensorflow"
    if name not in ENGINES:
        raise UsageError("engine", f"must be one of {', '.join(ENGINES)}, got {name!r}")
    if importlib.util.find_spec(name) is None:
        raise UsageError("engine", f"{name} is not installed; install this package's extra `{name}`")
    return name


def load(name: str, folder: pathlib.Path, configs: Mapping[str, Config], precision: str = "auto") -> Engine:
    """Load the networks of a checkpoint folder into an engine.

    Args:
        name: One of `config.ENGINES`.
        folder: The checkpoint folder.
        configs: The config of each network to load, by network name.
        precision: One of `config.ENGINE_PRECISIONS`.

    Raises:
        InputError: The weights are not those of a network.
        UsageError: The engine is not installed, or cannot compute in that precision.
    """
    if precision not in ENGINE_PRECISIONS:
        raise UsageError("engine_precision", f"must be one of {', '.join(ENGINE_PRECISIONS)}, got {precision!r}")
    return importlib.import_module(f"{__name__}.{resolve(name)}").load(folder, configs, precision)
