"""Digests that tell one CT, or one kidney mask, from another, without reading the whole of a large file."""

import hashlib

from kits_tf.errors import InputError

BLOCK_BYTES = 2**16
BLOCKS = 16
"""Taken evenly over a file, its first and its last among them: a megabyte. What is compressed changes to its end."""


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
    """The digest of a file's size and of blocks of it, 16 hexadecimal digits.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            whole = hashlib.sha256(str(size).encode())
            for number in range(BLOCKS):
                file.seek(max(0, size - BLOCK_BYTES) * number // (BLOCKS - 1))
                whole.update(file.read(BLOCK_BYTES))
    except OSError as error:
        raise InputError(path, error.strerror) from None
    return whole.hexdigest()[:16]
