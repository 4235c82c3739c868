"""Keeps names and ids of patients out of messages and file names."""

import contextlib
import hashlib
import logging
import re
import threading
import warnings

IDENTIFIERS = ("PatientName", "PatientID", "AccessionNumber", "StudyID", "PatientBirthDate", "OtherPatientIDs")
"""What a header may hold that names a patient; looked for in the folder's name."""

_SHORTEST = 3  # shorter parts of a name would be found in any word


_lock = threading.Lock()
_silence = contextlib.ExitStack()
_silent = 0  # threads that are inside `quiet`


@contextlib.contextmanager
def quiet():
    """Silences the libraries' warnings and log lines, which quote a header's values; ends with the last thread in it.

    Filters of warnings and levels of loggers are the whole process's: threads must not restore each other's.
    """
    global _silent
    with _lock:
        _silent += 1
        if _silent == 1:
            _silence.enter_context(_silenced())
    try:
        yield
    finally:
        with _lock:
            _silent -= 1
            if not _silent:
                _silence.close()


@contextlib.contextmanager
def _silenced():
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def identifying_words(dataset):
    """The words of a header that name its patient, in lower case.

    Args:
        dataset: a pydicom Dataset.
    """
    text = " ".join(str(dataset.get(name, "") or "") for name in IDENTIFIERS).lower()
    return {word for word in re.split(r"[\^=\s,\\'\[\]]+", text) if len(word) >= _SHORTEST}


def safe_name(name, words, uid):
    """A name to write and speak of: the folder's own, or where that names the patient, a digest of the UID.

    Args:
        name: the folder's name or path.
        words: what `identifying_words` found in its series.
        uid: the Series Instance UID.

    Returns:
        `name`, or `series_` and eight hexadecimal digits.
    """
    if not name or names_patient(name, words):
        return f"series_{uid_digest(uid)}"
    return name


def uid_digest(uid):
    """Eight hexadecimal digits that stand for a UID."""
    return hashlib.sha256(uid.encode()).hexdigest()[:8]


def names_patient(name, words):
    """Whether a folder's name or path holds one of the words that `identifying_words` found, punctuation aside."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    parts = {re.sub(r"[^a-z0-9]", "", word) for word in words}
    return any(word in name.lower() for word in words) or any(len(p) >= _SHORTEST and p in plain for p in parts)
