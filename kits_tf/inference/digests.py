"""Digests that tell one CT, one kidney mask or one label file from another."""

import hashlib

from kits_tf.errors import InputError

CHUNK_BYTES = 2**20


def of_input(source):
    """The digest of an Input's CT, 16 hexadecimal digits: of its file, or of the instances of its DICOM series.

    Raises:
        InputError: the file cannot be read.
    """
    if not source.series:
        return of_file(source.path)
    uids = sorted(str(header.dataset.SOPInstanceUID) for header in source.series.headers)
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()[:16]


def of_file(path):
    """The digest of a file, 16 hexadecimal digits.

    Raises:
        InputError: it cannot be read.
    """
    whole = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                whole.update(chunk)
    except OSError as error:
        raise InputError(path, error.strerror) from None
    return whole.hexdigest()[:16]
