"""Files that are written whole or not at all: a temporary name in the same folder, then a rename."""

import contextlib
import os
import pathlib
import uuid


@contextlib.contextmanager
def naming(path):
    """Lets an OSError of the block name `path`: that of a full disk names no file, others a temporary one."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


@contextlib.contextmanager
def replacing(path):
    """A temporary path to write to; it becomes `path` when the block ends and vanishes when the block fails.

    The temporary name keeps the file's suffixes, for writers that choose a format by it.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".writing-{uuid.uuid4().hex[:12]}-{path.name}")  # other hosts may write here too
    with naming(path):
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Writes `text` to `path` atomically, as UTF-8; a file's name that is none stands there with escapes."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
