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


def resolve(name: str, device: str = "auto") -> str:
    """Return the engine of a name; "auto" is OpenVINO on a CPU where it is installed, else TensorFlow.

    `device` is "auto", "cpu" or "gpu:N"; a GPU needs TensorFlow.
    """
    is_gpu = device.startswith("gpu")
    if name == "auto":
        has_gpu = is_gpu or (device == "auto" and pathlib.Path("/proc/driver/nvidia/gpus").is_dir())
        return "openvino" if importlib.util.find_spec("openvino") and not has_gpu else "tensorflow"
    if name not in ENGINES:
        raise UsageError("engine", f"must be one of {', '.join(ENGINES)}, got {name!r}")
    if importlib.util.find_spec(name) is None:
        raise UsageError("engine", f"{name} is not installed; install this package's extra `{name}`")
    if is_gpu and name == "openvino":
        raise UsageError("device", f"must be auto or cpu with --engine=openvino, got {device}")
    return name


def load(name: str, folder: pathlib.Path, configs: Mapping[str, Config], precision: str = "auto") -> Engine:
    """Load the networks of a checkpoint folder, with their configs by name, into an engine.

    Raises InputError if weights do not fit their config, UsageError if the engine cannot be used in this way.
    """
    if precision not in ENGINE_PRECISIONS:
        raise UsageError("precision", f"must be one of {', '.join(ENGINE_PRECISIONS)}, got {precision!r}")
    return importlib.import_module(f"{__name__}.{resolve(name)}").load(folder, configs, precision)
