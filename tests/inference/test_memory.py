"""Proves that a CT's memory is known from its header, and that no more is taken at once than is allowed."""

import dataclasses
import threading
import time

import numpy as np
import pytest

from kits_tf.config import preset
from kits_tf.errors import InputError
from kits_tf.inference import memory
from kits_tf.inference.inputs import from_file
from kits_tf.volume import Volume, write_volume

NATIVE = {"kidney_axial": preset("best", "kidney", "axial")}


def written(folder, dtype=np.int16, shape=(10, 20, 30), spacing_mm=(3.0, 1.0, 1.0)):
    write_volume(Volume(np.ones(shape, dtype), spacing_mm), folder / "ct.nii.gz")
    return from_file(folder / "ct.nii.gz")


@pytest.mark.parametrize("dtype, voxel_bytes", [(np.int16, 2), (np.uint8, 2), (np.float64, 6), (np.int32, 6)])
def test_bytes_by_type(tmp_path, dtype, voxel_bytes):
    assert memory.needed_bytes(written(tmp_path, dtype), NATIVE) == 6000 * (voxel_bytes + 3)


def test_options_take_more(tmp_path):
    source = written(tmp_path)
    assert memory.needed_bytes(source, NATIVE, "mean", probabilities=True) == 6000 * (2 + 3 + 2 + 4)
    working = {"kidney_axial": dataclasses.replace(NATIVE["kidney_axial"], slice_mm=1.5, inplane_mm=2.0)}
    assert memory.needed_bytes(source, working) == 6000 * 5 + 8 * 20 * 10 * 15


def test_what_a_process_may_take_is_positive():
    assert 2**26 < memory.free_bytes() < 2**50


def test_a_ct_beyond_the_bound_is_refused(tmp_path):
    source = written(tmp_path)
    with pytest.raises(InputError, match="ct.nii.gz: too large: would take 3.0 GB, --memory_gb allows 2.0"):
        with memory.Budget(2e9).taken(source, 3e9, threading.Event()):
            pass


def test_the_bound_holds_over_threads(tmp_path):
    source, budget, cancel = written(tmp_path), memory.Budget(10), threading.Event()
    at_once, most, lock = [0], [0], threading.Lock()

    def work():
        with budget.taken(source, 4, cancel):
            with lock:
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
            time.sleep(0.02)
            with lock:
                at_once[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 2
