"""Proves what goes to a server and what is believed of what comes back."""

import zlib

import numpy as np
import pytest

from kits_tf.serving import messages
from kits_tf.serving.messages import RequestError, RetryableError


@pytest.mark.parametrize("hu", [np.array([[[-1024, 3071]]], np.int16), np.array([[[-1024.4, 3071.4]]], np.float32)])
def test_a_ct_is_packed_as_whole_hu(hu):
    assert zlib.decompress(messages.packed(hu)) == np.array([-1024, 3071], "<i2").tobytes()


def test_what_int16_cannot_hold_is_clipped():
    values = np.frombuffer(zlib.decompress(messages.packed(np.array([-1e6, 1e6]))), "<i2")
    np.testing.assert_array_equal(values, [-32768, 32767])


def test_labels_are_unpacked():
    labels = np.array([[[0, 1], [2, 0]]], np.uint8)
    np.testing.assert_array_equal(messages.unpacked(zlib.compress(labels.tobytes()), labels.shape), labels)


@pytest.mark.parametrize(
    "stream, says",
    [
        (b"no stream", "no zlib stream"),
        (zlib.compress(bytes(3)), "does not hold the labels of 1 x 2 x 2 voxels"),
        (zlib.compress(bytes(2**20)), "does not hold the labels"),
        (zlib.compress(bytes(4))[:-2], "does not hold the labels"),
        (zlib.compress(bytes([0, 1, 2, 7])), "holds the label 7"),
    ],
)
def test_other_labels_than_those_of_the_ct_are_refused(stream, says):
    with pytest.raises(RequestError, match=says):
        messages.unpacked(stream, (1, 2, 2))


def test_attempts_are_bounded_and_end_with_success_or_a_refusal():
    waits, errors = [], [RetryableError("busy"), RetryableError("away")]

    def function():
        if errors:
            raise errors.pop(0)
        return "labels"

    assert messages.attempt(function, 3, waits.append) == "labels" and waits == [1, 2]
    errors[:] = [RetryableError("busy")] * 5
    with pytest.raises(RequestError, match=r"busy \(2 attempts\)"):
        messages.attempt(function, 2, waits.append)
    errors[:] = [RequestError("no such model")]
    with pytest.raises(RequestError, match="no such model$"):
        messages.attempt(function, 3, waits.append)
    assert not errors and waits == [1, 2, 1]


def test_a_text_of_many_lines_becomes_one():
    assert messages.one_line("a\n  b\tc") == "a b c"
    assert messages.one_line("x" * 300) == "x" * 200 + "..."
