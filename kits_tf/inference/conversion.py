"""Networks converted for OpenVINO, kept on disk: TensorFlow is needed once, and then in a process of its own.

    python -m kits_tf.inference.conversion CHECKPOINT_DIR TARGET_DIR NETWORK...

converts; `converted` calls it for what the cache lacks. A file of the cache is named by a digest of the network's
weights and config, of this package and of the libraries that had a part in it, so a stale one is never read; it is
written whole or not at all, so two processes may share the cache.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

import kits_tf
from kits_tf import checkpoint
from kits_tf.errors import InputError

VARIABLE = "KITS_TF_CACHE"
"""The environment variable that names the cache folder; empty keeps nothing."""

KEPT = 40  # networks: ten checkpoints
DEAD_SECONDS = 24 * 3600
LIBRARIES = ("openvino", "tensorflow", "keras")


@contextlib.contextmanager
def converted(folder, networks):
    """The networks of a checkpoint folder as OpenVINO models.

    Args:
        folder: the checkpoint folder.
        networks: names.

    Yields:
        {name: path of model.xml}, its weights beside it; without a cache the files are gone when the block ends.

    Raises:
        InputError: weights that are not those of the network in `config.json`.
    """
    with contextlib.ExitStack() as stack:
        cache = cache_folder() or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = {name: cache / key(folder, name) / "model.xml" for name in networks}
        lacking = [name for name, path in paths.items() if not path.is_file()]
        if lacking:
            with tempfile.TemporaryDirectory(prefix=".converting-", dir=cache) as target:
                convert_apart(folder, pathlib.Path(target), lacking)
                for name in lacking:
                    keep(pathlib.Path(target) / name, paths[name].parent)
        for path in paths.values():
            with contextlib.suppress(OSError):  # another user's, or just deleted
                os.utime(path.parent)  # used last
        prune(cache)
        yield paths


def cache_folder():
    """The cache's folder, made if need be, or None where there is none to be had."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.environ.get(VARIABLE, os.path.join(home, "kits-tf"))
    if not path:
        return None
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return pathlib.Path(path) if os.access(path, os.W_OK) else None


def key(folder, network):
    """The name of a converted network in the cache."""
    digest = hashlib.sha256(kits_tf.__version__.encode())
    for library in LIBRARIES:
        digest.update(f"{library} {version(library)}\n".encode())
    for path in sorted(sources()):
        digest.update(path.read_bytes())
    for name in (checkpoint.CONFIG_NAME, checkpoint.WEIGHTS_NAME):
        digest.update((pathlib.Path(folder) / network / name).read_bytes())
    return f"{network}-{digest.hexdigest()[:32]}"


def version(library):
    """The installed version of a library, which may come as its build for CPUs alone."""
    for distribution in (library, f"{library}-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return "unknown"


def sources():
    """The files that say what a network computes, for a checkout whose version stays while its code changes."""
    package = pathlib.Path(kits_tf.__file__).parent
    own = [package / "inference" / name for name in ("conversion.py", "tensorflow_engine.py")]
    return [*(package / "models").glob("*.py"), package / "config.py", *own]


def keep(made, place):
    """Moves a folder to its place in the cache; another process may have been faster."""
    try:
        made.rename(place)
    except OSError:
        if not (place / "model.xml").is_file():
            raise


def prune(cache):
    """Deletes what was not used for long, and what conversions that were killed left behind."""
    ages = {}
    for path in cache.iterdir():
        with contextlib.suppress(OSError):  # another process may have deleted it
            ages[path] = time.time() - path.stat().st_mtime
    networks = sorted((path for path in ages if not path.name.startswith(".")), key=ages.get)
    dead = [path for path in ages if path.name.startswith(".converting-") and ages[path] > DEAD_SECONDS]
    for path in [*networks[KEPT:], *dead]:
        shutil.rmtree(path, ignore_errors=True)


def convert_apart(folder, target, networks):
    """Converts in a process of its own, so that TensorFlow takes none of this one's memory.

    Raises:
        InputError: as `converted`.
    """
    root = str(pathlib.Path(kits_tf.__file__).parents[1])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    line = [sys.executable, "-m", "kits_tf.inference.conversion", str(folder), str(target), *networks]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        return
    try:
        path, reason = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise RuntimeError(f"conversion for OpenVINO failed:\n{done.stderr}") from None
    raise InputError(path, reason)


def convert(folder, target, networks):
    """Writes `TARGET/NETWORK/model.xml` and `.bin` of each network, float32."""
    import openvino

    from kits_tf.inference.tensorflow_engine import load_network

    for name, config in checkpoint.load_configs(folder, networks).items():
        model = openvino.convert_model(load_network(folder / name, config).probability.get_concrete_function())
        model = openvino.Model([model.output(0)], model.get_parameters())  # without the second head
        (target / name).mkdir()
        openvino.save_model(model, target / name / "model.xml", compress_to_fp16=False)
        keep_precise(target / name / "model.xml")


def keep_precise(path):
    """Marks a model's first convolution as one to compute in float32 under every precision.

    It costs next to nothing; bfloat16 would round the CT by up to 3 HU over the range that networks see by default.
    """
    tree = xml.etree.ElementTree.parse(path)
    first = next(layer for layer in tree.getroot().find("layers") if layer.get("type") == "Convolution")
    info = first.find("rt_info")
    if info is None:
        info = xml.etree.ElementTree.Element("rt_info")
        first.insert(list(first).index(first.find("input")), info)
    info.append(xml.etree.ElementTree.Element("attribute", {"name": "precise", "version": "0"}))
    tree.write(path)


def main(arguments):
    """The process that converts; returns the exit code."""
    folder, target, *networks = arguments
    try:
        convert(pathlib.Path(folder), pathlib.Path(target), networks)
    except InputError as error:
        print(json.dumps([error.path, error.reason]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
