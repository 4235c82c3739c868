"""Proves that a digest tells files apart by whatever byte."""

import hashlib

import pytest

from kits_tf.errors import InputError
from kits_tf.inference.digests import CHUNK_BYTES, of_file


@pytest.mark.parametrize("size", (0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1))
def test_it_is_that_of_the_whole_file(tmp_path, size):
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    (tmp_path / "ct.nii").write_bytes(content)
    assert of_file(tmp_path / "ct.nii") == hashlib.sha256(content).hexdigest()[:16]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="gone.nii.gz: No such file"):
        of_file(tmp_path / "gone.nii.gz")
