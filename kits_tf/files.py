"""Atomic writing (a temporary file in the same folder, then a rename), file locks, folder trees and digests."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
import uuid
from collections.abc import Callable, Iterator

from kits_tf.errors import InputError


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Make an OSError in the block name `path`, where a full disk names no file and other errors a temporary one."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yield a temporary path, which replaces `path` when the block ends and is deleted if it fails.

    It keeps the file's suffixes, for writers that choose a format by them.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".writing-{uuid.uuid4().hex[:12]}-{path.name}")  # unique among hosts, too
    with naming(path):
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Hold a lock that other processes wait for, by an empty file next to `path`; URLs are not locked.

    The system releases the lock of a process however it ends.
    """
    if "://" in str(path):
        yield
        return
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def walk(
    root: pathlib.Path,
    is_leaf: Callable[[pathlib.Path], bool] | None = None,
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[tuple[pathlib.Path, list[pathlib.Path]]]:
    """Yield the folders of a tree with their files, sorted; linked folders once, hidden ones not at all.

    Args:
        root: The tree.
        is_leaf: Returns whether to skip the folders within a folder.
        on_error: Called for each folder that cannot be read.
    """
    seen = set()
    for parent, folders, names in os.walk(str(root), onerror=on_error, followlinks=True):
        folder, place = pathlib.Path(parent), os.path.realpath(parent)
        is_end = place in seen or (is_leaf is not None and is_leaf(folder))
        folders[:] = [] if is_end else sorted(name for name in folders if name[0] != ".")
        if place not in seen:
            paths = (folder / name for name in sorted(names) if name[0] != ".")
            yield folder, [path for path in paths if path.is_file() or path.is_symlink()]  # no pipes
        seen.add(place)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write text atomically as UTF-8; bytes of file names that are not UTF-8 are escaped."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def update_text(path: str | os.PathLike, text: str) -> None:
    """Write text as `write_text` does, unless the file holds it already."""
    path = pathlib.Path(path)
    if not path.is_file() or path.read_bytes() != text.encode(errors="backslashreplace"):
        write_text(path, text)


def digest(path: str | os.PathLike) -> str:
    """Return the first 16 hexadecimal digits of a file's SHA-256; InputError if it cannot be read."""
    whole = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(2**20):
                whole.update(chunk)
    except OSError as error:
        raise InputError(path, error.strerror) from None
    return whole.hexdigest()[:16]
