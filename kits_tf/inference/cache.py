"""Converted networks on disk: where they are kept, what they are called, and which of them are deleted.

A network is named by a digest of its weights and config, of this package and of the libraries that had a part in it,
so a stale one is never read; it is put in place whole or not at all, so two processes may share the folder. The folder
may hold other things too: nothing is deleted but what bears a name of this module's own making.
"""

import contextlib
import hashlib
import importlib.metadata
import os
import pathlib
import re
import shutil
import time

import kits_tf
from kits_tf import checkpoint
from kits_tf.config import PLANES

VARIABLE = "KITS_TF_CACHE"
"""The environment variable that names the cache folder; empty keeps nothing."""

KEPT = 40  # networks: ten checkpoints
DEAD_SECONDS = 24 * 3600
LIBRARIES = ("openvino", "tensorflow", "keras")
UNFINISHED = ".converting-"
"""What the names of folders begin with that conversions write to."""

NETWORK = re.compile(rf"(kidney_({'|'.join(PLANES)})|tumor)-[0-9a-f]{{32}}")


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
    digest.update(checkpoint.digest(folder, network))
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


def touch(place):
    """Marks a network as the one used last."""
    with contextlib.suppress(OSError):  # another user's, or just deleted
        os.utime(place)


def prune(cache):
    """Deletes networks that were not used for long, and what conversions that were killed left behind."""
    ages = {}
    for path in cache.iterdir():
        with contextlib.suppress(OSError):  # another process may have deleted it
            ages[path] = time.time() - path.stat().st_mtime
    networks = sorted((path for path in ages if NETWORK.fullmatch(path.name)), key=ages.get)
    dead = [path for path in ages if path.name.startswith(UNFINISHED) and ages[path] > DEAD_SECONDS]
    for path in [*networks[KEPT:], *dead]:
        shutil.rmtree(path, ignore_errors=True)
