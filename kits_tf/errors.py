"""Errors that a user can cause; commands report them in one line and exit with a code."""

import os
import re


class InputError(Exception):
    """Bad input data: `FILE: what is wrong; what to do`.

    Exit code 1 if other cases can continue, else 2.
    """

    def __init__(self, path: str | os.PathLike, reason: object) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.reason)  # so that it can be pickled


class UsageError(Exception):
    """Unusable flags or nothing to do: names the flag and what it must be (exit code 2)."""

    def __init__(self, flag: str | None, reason: object) -> None:
        super().__init__(f"--{flag}: {reason}" if flag else str(reason))
        self.flag = flag
        self.reason = reason

    def __reduce__(self) -> tuple:
        return type(self), (self.flag, self.reason)


class OptionError(ValueError):
    """An option of a config that is unknown or has an unusable value; the message names it."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option

    def __reduce__(self) -> tuple:
        return type(self), (self.option, str(self))


class CancelledError(Exception):
    """A segmentation was stopped on request."""


def one_line(error: object) -> str:
    """Return an error's message in one line, without TensorFlow's names of operations.

    Of a message of HDF5, only the system's error message in its middle is returned.
    """
    text = re.sub(r"\{\{.*?\}\}\s*|\[Op:.*", "", str(error), flags=re.DOTALL).strip()
    system = re.search(r"error message = '([^']*)'", text)
    return (system[1] if system else text.partition("\n")[0])[:300] or type(error).__name__
