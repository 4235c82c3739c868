"""Proves that a CT's memory is known from its header, and that no more is taken at once than is allowed."""

import dataclasses
import threading
import time

import numpy as np
import pytest

from kits_tf.config import preset
from kits_tf.errors import InputError
from kits_tf.inference import memory
from kits_tf.inference.inputs import find_inputs, from_file
from kits_tf.io.volume import Volume, write_volume

NATIVE = {"kidney_axial": preset("best", "kidney", "axial")}


def written(folder, dtype=np.int16, shape=(10, 20, 30), spacing_mm=(3.0, 1.0, 1.0)):
    write_volume(Volume(np.ones(shape, dtype), spacing_mm), folder / "ct.nii.gz")
    return from_file(folder / "ct.nii.gz")


TYPES = [(np.int16, 2), (np.uint8, 2), (np.uint16, 6), (np.float64, 6), (np.int32, 6)]


@pytest.mark.parametrize("dtype, voxel_bytes", TYPES)
def test_bytes_by_type(tmp_path, dtype, voxel_bytes):
    assert memory.needed_bytes(written(tmp_path, dtype), NATIVE) == 6000 * (voxel_bytes + 3)


def test_options_take_more(tmp_path):
    source = written(tmp_path)
    assert memory.needed_bytes(source, NATIVE, "mean", probabilities=True) == 6000 * (2 + 3 + 2 + 4)
    roi = (slice(1, 9), slice(None), slice(None))
    assert memory.needed_bytes(source, NATIVE, probabilities=True, roi=roi) == 6000 * (2 + 3 + 4 + 1)
    assert memory.needed_bytes(source, NATIVE, roi=roi) == 6000 * (2 + 3)
    working = {"kidney_axial": dataclasses.replace(NATIVE["kidney_axial"], slice_mm=1.5, inplane_mm=2.0)}
    assert memory.needed_bytes(source, working) == 6000 * 5 + 8 * 20 * 10 * 15 + 56 * 30 * 15


def test_each_working_grid_is_kept_and_shared_by_the_planes_on_it(tmp_path):
    source, config = written(tmp_path), NATIVE["kidney_axial"]
    fine = dataclasses.replace(config, slice_mm=1.5, inplane_mm=2.0)  # 20 x 10 x 15
    coarse = dataclasses.replace(config, slice_mm=3.0, inplane_mm=4.0)  # 10 x 5 x 8
    planes = {"kidney_axial": fine, "kidney_coronal": fine, "kidney_sagittal": coarse}
    assert memory.needed_bytes(source, planes) == 6000 * 5 + 4 * (3000 + 400) + 4 * 3000 + 56 * 30 * 15
    planes["kidney_coronal"] = dataclasses.replace(fine, body_box=not fine.body_box)  # another part of the CT
    assert memory.needed_bytes(source, planes) == 6000 * 5 + 4 * (2 * 3000 + 400) + 4 * 3000 + 56 * 30 * 15


@pytest.mark.parametrize("slope, voxel_bytes", [(1, 4), (0.5, 8)])
def test_a_dicom_series_by_its_headers(tmp_path, slope, voxel_bytes):
    """Ten images 5 mm apart are 50 slices of 1 mm, not ten."""
    pytest.importorskip("highdicom")
    from tests.io.dicom_files import images, write

    made = images(np.zeros((10, 20, 24), np.int16), spacing_mm=(5.0, 1.0, 1.0))
    made[3].RescaleSlope = slope
    (source,) = find_inputs(write(made, tmp_path / "ct"))
    working = {"kidney_axial": dataclasses.replace(NATIVE["kidney_axial"], slice_mm=1.0)}
    expected = 4800 * (voxel_bytes + 3) + 8 * 50 * 20 * 24 + 56 * 24 * 24
    assert memory.needed_bytes(source, working) == expected


def test_a_dicom_series_that_makes_no_volume_is_named(tmp_path):
    pytest.importorskip("highdicom")
    from tests.io.dicom_files import images, write

    made = images(np.zeros((6, 20, 24), np.int16))
    (source,) = find_inputs(write(made[:1] + made[2:], tmp_path / "ct"))
    with pytest.raises(InputError, match="ct: a slice is missing"):
        memory.needed_bytes(source, NATIVE)


def test_an_axis_made_many_times_longer_takes_what_its_matrix_does(tmp_path):
    source = written(tmp_path, shape=(1000, 4, 4), spacing_mm=(100.0, 1.0, 1.0))
    working = {"kidney_axial": dataclasses.replace(NATIVE["kidney_axial"], slice_mm=2.0)}
    assert memory.needed_bytes(source, working) > 8 * 1000 * 50_000


def test_what_a_process_may_take_is_positive():
    assert 2**26 < memory.free_bytes() < 2**50


def group(folder, stat, limit="memory.max", used="memory.current", allowed=8):
    """A control group as the kernel shows it: 8 GB allowed, 7 GB used."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((limit, f"{allowed}000000000\n"), (used, "7000000000\n"), ("memory.stat", stat)):
        (folder / name).write_text(content)


def free_below(mount, own=""):
    """What is free by the groups below a mount, for a process whose `/proc/self/cgroup` says `own`."""
    (mount / "own").write_text(own)
    return memory.free_in_groups(mount, mount / "own")


STAT = "anon 900\nfile 6000\nactive_file 2000000000\ninactive_file 4000000000\nworkingset_refault_file 5\n"
V1_STAT = "active_file 1\ninactive_file 1\ntotal_active_file 2000000000\ntotal_inactive_file 3000000000\n"
V1_NAMES = "memory.limit_in_bytes", "memory.usage_in_bytes"


def test_page_cache_of_a_control_group_counts_as_free(tmp_path):
    group(tmp_path / "v2", STAT)
    assert free_below(tmp_path / "v2") == [7 * 10**9]
    group(tmp_path / "v1" / "memory", V1_STAT, *V1_NAMES)
    assert free_below(tmp_path / "v1") == [6 * 10**9]


def test_limits_of_a_batch_job_and_of_what_holds_it(tmp_path):
    """A job's group lies below the mount, in version 2 under its whole path and in version 1 in the memory tree."""
    group(tmp_path / "v2", STAT, allowed=90)
    group(tmp_path / "v2" / "slurm" / "job_7", STAT)
    assert sorted(free_below(tmp_path / "v2", "0::/slurm/job_7/step_0\n")) == [7 * 10**9, 89 * 10**9]
    assert free_below(tmp_path / "v2", "0::/other\n") == [89 * 10**9]
    group(tmp_path / "v1" / "memory" / "job_7", V1_STAT, *V1_NAMES)
    own = "9:name=systemd:/job_8\n4:cpu,memory:/job_7\n0::/\n"
    assert free_below(tmp_path / "v1", own) == [6 * 10**9]


def test_a_control_group_without_a_limit_or_a_stat(tmp_path):
    group(tmp_path / "v2", STAT)
    (tmp_path / "v2" / "memory.stat").unlink()
    assert free_below(tmp_path / "v2") == [10**9]
    (tmp_path / "v2" / "memory.max").write_text("max\n")
    (tmp_path / "none").mkdir()
    assert free_below(tmp_path / "v2") == free_below(tmp_path / "none") == []


@pytest.mark.parametrize(
    "content, prefix, cached",
    [(STAT, "", 6 * 10**9), (STAT, "total_", 0), ("", "", 0), ("active_file\n", "", 0), (None, "", 0)],
)
def test_cached_bytes(tmp_path, content, prefix, cached):
    if content is not None:
        (tmp_path / "memory.stat").write_text(content)
    assert memory.cached_bytes(tmp_path / "memory.stat", prefix) == cached


def test_a_ct_beyond_the_bound_is_refused(tmp_path):
    source = written(tmp_path)
    with pytest.raises(InputError, match="ct.nii.gz: too large: would take 3 GB, --memory_gb allows 2$"):
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
