"""Proves what a client sends and what it accepts; tests/cli/test_request.py asks real servers."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from kits_tf.errors import UsageError
from kits_tf.serving import client
from kits_tf.serving.client import ServerError, TransientError

SLICE = np.array([[0, 1], [2, 0]], np.uint8)


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "hu, expected",
    [
        (np.array([-1024, 3071], np.int16), [-1024, 3071]),
        (np.array([-1024.4, 3071.4], np.float32), [-1024, 3071]),
        (np.array([-1e6, 1e6]), [-32768, 32767]),
    ],
)
def test_a_ct_is_packed_as_whole_hu_and_clipped_to_int16(hu, expected):
    assert zlib.decompress(client.pack(hu)) == np.array(expected, "<i2").tobytes()


def test_labels_are_unpacked():
    np.testing.assert_array_equal(client.unpack([png(SLICE), png(SLICE.T)], (2, 2, 2)), [SLICE, SLICE.T])


@pytest.mark.parametrize(
    "slices, says",
    [
        ([b"no picture"], "not a PNG"),
        ([png(SLICE)[:-28]], "not a PNG"),
        ([png(SLICE)] * 2, "2 slices"),
        ([png(SLICE[:1])], "1 x 2 pixels"),
        ([png(np.stack([SLICE] * 3, -1))], "2 x 2 pixels"),
        ([png(SLICE + 7)], "value 9"),
    ],
)
def test_other_labels_than_those_of_the_ct_are_refused(slices, says):
    with pytest.raises(ServerError, match=says):
        client.unpack(slices, (1, 2, 2))


def test_attempts_are_bounded_and_end_with_success_or_a_refusal(monkeypatch):
    waits, errors = [], [TransientError("busy"), TransientError("away")]
    monkeypatch.setattr(client.time, "sleep", waits.append)

    def call():
        if errors:
            raise errors.pop(0)
        return "labels"

    assert client.retry(call, 3, 2.0) == "labels" and waits == [2, 4]
    errors[:] = [TransientError("busy")] * 5
    with pytest.raises(ServerError, match=r"busy \(2 attempts\)"):
        client.retry(call, 2, 0)
    errors[:] = [ServerError("no such model")]
    with pytest.raises(ServerError, match="no such model$"):
        client.retry(call, 3, 0)
    assert not errors and waits == [2, 4, 0]


@pytest.mark.parametrize("server", ["x", "ftp://host", "http://"])
def test_a_server_needs_a_scheme_and_an_address(server):
    with pytest.raises(UsageError, match="--server"):
        client.connect(server)
