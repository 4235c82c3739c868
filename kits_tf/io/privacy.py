"""Keep names and ids of patients out of messages and file names."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pydicom

IDENTIFIERS = ("PatientName", "PatientID", "AccessionNumber", "StudyID", "PatientBirthDate", "OtherPatientIDs")

_SHORTEST = 3  # letters; shorter parts of a name occur in many words
_lock = threading.Lock()
_silence = contextlib.ExitStack()
_silent = 0  # threads that are inside `quiet`


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and log messages of the DICOM libraries, which quote headers, until the last thread leaves.

    Warning filters and logger levels are shared by all threads, which must not restore each other's changes.
    """
    global _silent
    with _lock:
        _silent += 1
        if _silent == 1:
            _silence.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for logger in map(logging.getLogger, ("pydicom", "highdicom")):
                _silence.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        with _lock:
            _silent -= 1
            if not _silent:
                _silence.close()


def identifying_words(dataset: pydicom.Dataset) -> set[str]:
    """Return the words of a header that may name its patient, for `names_patient`."""
    text = " ".join(str(dataset.get(name, "") or "") for name in IDENTIFIERS)
    return {word for word in map(_plain, re.split(r"[\^=\s,\\'\[\]]+", text)) if len(word) >= _SHORTEST}


def names_patient(name: str, words: set[str]) -> bool:
    """Return whether the name of a file or folder contains an identifying word, ignoring punctuation."""
    return any(word in _plain(name) for word in words)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())


def safe_name(name: str, words: set[str], uid: str) -> str:
    """Return a name, or `series_` and eight hexadecimal digits of the series UID if it is empty or names a patient."""
    return f"series_{uid_digest(uid)}" if not name or names_patient(name, words) else name


def safe_path(path: str | os.PathLike, words: set[str], uid: str) -> str:
    """Return a path with each part replaced by its `safe_name`, or all of it if the parts name a patient together."""
    parts = [part if part in (os.sep, "..") else safe_name(part, words, uid) for part in Path(path).parts]
    return safe_name(str(Path(*parts)), words, uid)


def uid_digest(uid: str) -> str:
    """Return eight hexadecimal digits that stand for a UID."""
    return hashlib.sha256(uid.encode()).hexdigest()[:8]
