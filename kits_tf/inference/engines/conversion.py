"""Convert networks for OpenVINO, once, and cache them: only the conversion needs TensorFlow, in a separate process.

`converted` runs this for networks that are not in the cache:

    python -m kits_tf.inference.engines.conversion CHECKPOINT_DIR TARGET_DIR NETWORK...

A cached network is one zip file, named by a digest of everything it depends on. A damaged one is converted again. If
the cache is not writable, nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
import zipfile
from collections.abc import Sequence

import kits_tf
from kits_tf import checkpoint, files
from kits_tf.errors import InputError, UsageError

VARIABLE = "KITS_TF_CACHE"  # environment variable: the cache folder; if it is empty, nothing is kept
KEPT = 40  # networks: ten checkpoints
NETWORK = re.compile(r"[a-z_]+-[0-9a-f]{32}\.openvino")


def converted(folder: pathlib.Path, networks: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
    """Return the XML and the weights of networks, by name, as `openvino.Core.read_model` accepts them.

    Raises:
        InputError: The weights are not those of the network in `config.json`.
        UsageError: The conversion failed.
    """
    cache = cache_folder()
    paths = {name: cache / key(folder, name) for name in networks} if cache else {}
    models = {name: model for name, path in paths.items() if (model := _read(path))}
    missing = [name for name in networks if name not in models]
    if missing:
        with tempfile.TemporaryDirectory() as target:
            _convert_in_subprocess(folder, pathlib.Path(target), missing)
            for name in missing:
                stem = pathlib.Path(target) / name
                models[name] = stem.with_suffix(".xml").read_bytes(), stem.with_suffix(".bin").read_bytes()
    for name, path in paths.items():
        with contextlib.suppress(OSError):  # the cache is full or not writable
            os.utime(path) if name not in missing else _write(path, *models[name])
    if cache:
        _prune(cache)
    return models


def cache_folder() -> pathlib.Path | None:
    """Return the cache's folder, or None where `KITS_TF_CACHE` is empty."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.environ.get(VARIABLE, os.path.join(home, "kits-tf"))
    return pathlib.Path(path) if path else None


def key(folder: pathlib.Path, network: str) -> str:
    """Return the file name of a converted network in the cache."""
    digest = hashlib.sha256(kits_tf.__version__.encode())
    for library in ("openvino", "tensorflow", "keras"):
        digest.update(f"{library} {_version(library)}\n".encode())
    package = pathlib.Path(kits_tf.__file__).parent
    own = [pathlib.Path(__file__), pathlib.Path(__file__).with_name("tensorflow.py"), package / "config.py"]
    for path in sorted([*(package / "models").glob("*.py"), *own]):  # in a checkout they change without the version
        digest.update(path.read_bytes())
    digest.update(checkpoint.digest(folder, network))
    return f"{network}-{digest.hexdigest()[:32]}.openvino"


def _version(library: str) -> str:
    """Return the installed version of a library, which may be its build for CPUs alone."""
    for distribution in (library, f"{library}-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return "unknown"


def _write(path: pathlib.Path, model: bytes, weights: bytes) -> None:
    with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as stored:
        stored.writestr("xml", model)
        stored.writestr("bin", weights)


def _read(path: pathlib.Path) -> tuple[bytes, bytes] | None:
    """Return the XML and the weights in a cached file; None where it is missing or damaged."""
    with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as stored:
        return stored.read("xml"), stored.read("bin")
    return None


def _prune(cache: pathlib.Path) -> None:
    """Delete the least recently used networks, and no other files."""
    with contextlib.suppress(OSError):  # another process may delete them too
        networks = [path for path in cache.iterdir() if NETWORK.fullmatch(path.name)]
        for path in sorted(networks, key=lambda path: -path.stat().st_mtime)[KEPT:]:
            path.unlink()


def _convert_in_subprocess(folder: pathlib.Path, target: pathlib.Path, networks: Sequence[str]) -> None:
    """Run `convert` in a separate process, so that TensorFlow uses no memory of this one."""
    root = str(pathlib.Path(kits_tf.__file__).parents[1])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    line = [sys.executable, "-m", "kits_tf.inference.engines.conversion", str(folder), str(target), *networks]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        return
    with contextlib.suppress(IndexError, ValueError):
        raise InputError(*json.loads(done.stdout.splitlines()[-1]))
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise UsageError("engine", f"conversion for OpenVINO failed ({reason}); --engine=tensorflow needs none")


def convert(folder: pathlib.Path, target: pathlib.Path, networks: Sequence[str]) -> None:
    """Write `TARGET/NETWORK.xml` and `.bin` of each network, float32."""
    from kits_tf.inference.engines.openvino import load_openvino
    from kits_tf.inference.engines.tensorflow import load_network

    openvino = load_openvino()
    for name, config in checkpoint.load_configs(folder, networks).items():
        model = openvino.convert_model(load_network(folder / name, config).probability.get_concrete_function())
        model = openvino.Model([model.output(0)], model.get_parameters())  # without the second head
        openvino.save_model(model, target / f"{name}.xml", compress_to_fp16=False)
        keep_precise(target / f"{name}.xml")


def keep_precise(path: pathlib.Path) -> None:
    """Mark operations of a model that are always in float32: all up to the first convolution, and activations.

    In bfloat16, the first convolution and the transposes before it would round the CT by up to 3 HU over the default
    range. The result of an activation enters sums, means and products before it is the input of a convolution; rounded
    only there, probabilities are three times closer to those of float32.
    """
    tree = xml.etree.ElementTree.parse(path)
    layers = [layer for layer in tree.iterfind("layers/layer") if layer.get("type") not in ("Parameter", "Const")]
    first = next(number for number, layer in enumerate(layers) if layer.get("type") == "Convolution")
    for number, layer in enumerate(layers):
        if number <= first or layer.get("type") == "ReLU":
            info = layer.find("rt_info")
            if info is None:
                info = xml.etree.ElementTree.Element("rt_info")
                layer.insert([child.tag for child in layer].index("input"), info)
            info.append(xml.etree.ElementTree.Element("attribute", {"name": "precise", "version": "0"}))
    tree.write(path)


def main(arguments: Sequence[str]) -> int:
    """Convert networks, as a program; return the exit code."""
    folder, target, *networks = arguments
    try:
        convert(pathlib.Path(folder), pathlib.Path(target), networks)
    except InputError as error:
        print(json.dumps([error.path, str(error.reason)]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
