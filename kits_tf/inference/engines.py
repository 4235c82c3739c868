"""The engines there are, and the choice among them.

An engine is a module `NAME_engine.py` beside this one that needs the package NAME and has a function
`load(folder, configs, precision)` returning an `Engine`: nothing else has to be changed to add one.
"""

import importlib
import importlib.util
import pathlib
import pkgutil

from kits_tf.errors import UsageError

SUFFIX = "_engine"
PRECISIONS = ("auto", "float32", "bfloat16")
FASTEST_ON_CPU = ("openvino",)  # in this order, where installed; the rest is TensorFlow's
NVIDIA = pathlib.Path("/proc/driver/nvidia/gpus")


def names():
    """The names of all engines, whether their packages are installed or not; sorted."""
    modules = pkgutil.iter_modules([str(pathlib.Path(__file__).parent)])
    return sorted(module.name.removesuffix(SUFFIX) for module in modules if module.name.endswith(SUFFIX))


def resolve(name):
    """The engine that a name stands for: "auto" is the fastest that is installed.

    Raises:
        UsageError: there is no engine of that name, or its package is not installed.
    """
    if name == "auto":
        fast = [engine for engine in FASTEST_ON_CPU if importlib.util.find_spec(engine)]
        return fast[0] if fast and not NVIDIA.is_dir() else "tensorflow"
    if name not in names():
        raise UsageError("engine", f"{name!r} is not one of auto, {', '.join(names())}")
    if importlib.util.find_spec(name) is None:
        raise UsageError("engine", f"{name} is not installed; install this package's extra `{name}`")
    return name


def load(name, folder, configs, precision="auto"):
    """The engine of that name, holding the networks of `configs`.

    Args:
        name: "auto" or one of `names`.
        folder: the checkpoint folder.
        configs: {network name: config}, as read from it.
        precision: "auto", "float32" or "bfloat16".

    Raises:
        InputError: the weights are not those of a network.
        UsageError: an engine that is not installed, or one that cannot compute in that precision.
    """
    if precision not in PRECISIONS:
        raise UsageError("engine_precision", f"{precision!r} is not one of {', '.join(PRECISIONS)}")
    module = importlib.import_module(f"kits_tf.inference.{resolve(name)}{SUFFIX}")
    return module.load(folder, configs, precision)
