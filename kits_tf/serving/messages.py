"""What goes to the server and comes back: a CT and its labels in the `compact` signature."""

import zlib

import numpy as np

SIGNATURE = "compact"
COMPRESSION_LEVEL = 1  # a CT is noise in its last bits: higher levels take long and gain little


class RequestError(Exception):
    """The server gave no usable answer; the text says why in one line."""


class RetryableError(RequestError):
    """An answer that another attempt may mend: the server is busy, away or closed the connection."""


def packed(hu):
    """A CT as `volume_bytes`: the zlib stream of int16 little-endian HU in C order.

    Values that are not whole are rounded, those beyond int16 clipped.
    """
    bounds = np.iinfo(np.int16)
    if hu.dtype != np.int16:
        hu = np.clip(np.rint(hu), bounds.min, bounds.max)
    return zlib.compress(np.ascontiguousarray(hu, "<i2"), COMPRESSION_LEVEL)


def unpacked(labels_bytes, shape):
    """The labels of a reply, uint8 of `shape`.

    Raises:
        RequestError: the reply holds other labels than those of the CT that was sent.
    """
    size = int(np.prod(shape))
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(labels_bytes, size + 1)
    except zlib.error as error:
        raise RequestError(f"the reply's labels are no zlib stream ({error})") from None
    if len(data) != size or not stream.eof:
        raise RequestError(f"the reply does not hold the labels of {' x '.join(map(str, shape))} voxels")
    labels = np.frombuffer(data, np.uint8).reshape(shape)
    if labels.max(initial=0) > 2:
        raise RequestError(f"the reply holds the label {labels.max()}, labels are 0, 1 and 2")
    return labels


def attempt(function, attempts, wait):
    """The result of function(), called up to `attempts` times while it raises `RetryableError`.

    Args:
        wait: called with the number of the attempt that failed, from 1, before the next one.

    Raises:
        RequestError: the last attempt's, with their number.
    """
    for number in range(1, attempts + 1):
        try:
            return function()
        except RetryableError as error:
            if number == attempts:
                times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
                raise RequestError(f"{error} ({times})") from None
            wait(number)


def one_line(text, limit=200):
    """A text without line breaks, cut to a length."""
    text = " ".join(str(text).split())
    return text if len(text) <= limit else f"{text[:limit]}..."
