"""Proves that files are written whole or not at all, and that a fault names the file that was to be written."""

import errno
import os

import pytest

from kits_tf import files


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    files.write_text(path, "first")
    with pytest.raises(ValueError), files.replacing(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("half")
        raise ValueError
    assert path.read_text() == "first"
    files.write_text(path, "second")
    assert path.read_text() == "second" and os.listdir(path.parent) == ["file.txt"]


def test_two_writers_of_one_file_have_names_of_their_own(tmp_path):
    with files.replacing(tmp_path / "file.txt") as one, files.replacing(tmp_path / "file.txt") as other:
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "file.txt").read_text() == "one" and os.listdir(tmp_path) == ["file.txt"]


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError) as caught, files.replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "file.txt") and os.listdir(tmp_path) == []
