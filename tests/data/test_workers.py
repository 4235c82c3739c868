"""Proves that work in several processes is bounded in memory, and that what goes wrong in one is told."""

import concurrent.futures
import os
import threading
import time

import pytest

from kits_tf.data import workers
from kits_tf.errors import InputError, UsageError
from kits_tf.io import volume

LARGE = workers.WORTH_A_PROCESS


def test_what_runs_together_stays_below_the_bound():
    """Six cases of 30 to 90 % of the bound, four processes: never more than the bound at a time, and all are done."""
    sizes = [int(share * workers.MAX_VOXELS) for share in (0.9, 0.3, 0.3, 0.3, 0.6, 0.4)]
    running, sums, lock = [], [], threading.Lock()

    def work(size):
        with lock:
            running.append(size)
            sums.append(sum(running))
        time.sleep(0.01)
        with lock:
            running.remove(size)
        return size

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(workers.bounded(pool, work, [((size,), size) for size in sizes], 4))
    assert sorted(done) == sorted(sizes)
    assert max(sums) <= workers.MAX_VOXELS


def test_a_case_above_the_bound_runs_alone():
    assert workers.fits(2 * workers.MAX_VOXELS, [])
    assert not workers.fits(2 * workers.MAX_VOXELS, [1])


def test_an_error_comes_through_as_it_is(tmp_path):
    with pytest.raises(InputError, match="cannot be read") as error:
        list(workers.spread(volume.read_volume, [((str(tmp_path / "no.nii"),), LARGE)] * 2, 2))
    assert error.value.path == str(tmp_path / "no.nii")


def test_a_killed_process_is_told():
    with pytest.raises(UsageError, match="was killed"):
        list(workers.spread(os._exit, [((1,), LARGE)] * 2, 2))
