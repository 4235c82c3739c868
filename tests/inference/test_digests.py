"""Proves that a digest tells files apart by size, by either end, and anywhere where they are compressed."""

import gzip

import numpy as np
import pytest

from kits_tf.errors import InputError
from kits_tf.inference.digests import BLOCK_BYTES, of_file


def digest(path, content):
    path.write_bytes(content)
    return of_file(path)


@pytest.mark.parametrize("size", (2, BLOCK_BYTES, BLOCK_BYTES + 1, 40 * BLOCK_BYTES))
def test_size_first_and_last_byte_count(tmp_path, size):
    content = bytes(size)
    others = (content + bytes(1), b"1" + content[1:], content[:-1] + b"1", b"")
    assert len({digest(tmp_path / "a", other) for other in (content, *others)}) == 5
    assert digest(tmp_path / "a", content) == digest(tmp_path / "b", content)


def test_one_voxel_counts_wherever_it_lies_in_a_compressed_file(tmp_path):
    noise = np.random.default_rng(0).integers(0, 2000, 2_000_000, np.int16)
    before = digest(tmp_path / "ct", gzip.compress(noise.tobytes(), 1, mtime=0))
    for place in (3, 777_777, len(noise) - 1):
        changed = noise.copy()
        changed[place] += 1
        assert digest(tmp_path / "ct", gzip.compress(changed.tobytes(), 1, mtime=0)) != before


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="gone.nii.gz: No such file"):
        of_file(tmp_path / "gone.nii.gz")
