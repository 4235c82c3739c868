"""Output that cannot be written is refused before any work is done."""

import os
import pathlib
import tempfile

from kits_tf.errors import UsageError


def check_folder(flag, folder):
    """Refuses a folder that cannot be made or written to; makes nothing.

    Args:
        flag: the flag that names it.
        folder: its path.

    Raises:
        UsageError: with the flag, the folder and the reason.
    """
    path = pathlib.Path(folder).absolute()
    nearest = next(part for part in (path, *path.parents) if os.path.exists(part))
    if not nearest.is_dir():
        raise UsageError(flag, f"{nearest if nearest != path else folder} is a file; takes a folder")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UsageError(flag, f"{folder}: {error.strerror}") from None


def check_file(flag, path):
    """Refuses a file that cannot be written; see `check_folder`."""
    if os.path.isdir(path):
        raise UsageError(flag, f"{path} is a folder; takes a file")
    check_folder(flag, pathlib.Path(path).absolute().parent)
