"""How much memory a CT takes, before it is read, and a bound on what is taken at the same time."""

import contextlib
import math
import os
import pathlib
import threading

import numpy as np

from kits_tf import geometry
from kits_tf.data.records import is_record, read_header
from kits_tf.errors import InputError
from kits_tf.io import nifti
from kits_tf.io.dicom import stack

GB = 1e9
LABEL_BYTES = 3  # a voxel: fusion, sides, labels
MEAN_BYTES = 2  # a voxel more: sums of the method "mean", two bytes and a mask
PROBABILITY_BYTES = 4  # a voxel more: kidney and tumor
PLACED_BYTES = 1  # a voxel more where a region of interest is put in place: one of them is there twice, fusion is not
WORKING_BYTES = 4  # a voxel of a working grid, float32: the CT on each that planes share, the probability on one
MATRIX_BYTES = 56  # an element of the matrix that resizes an axis, while it is made
SHARE = 0.8  # of what is free, where no bound is given
GROUP, OWN_GROUPS = pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/proc/self/cgroup")


def needed_bytes(source, configs, fusion="union", probabilities=False, roi=None):
    """What segmenting an Input takes, networks aside, by its header alone.

    Args:
        source: an `inputs.Input`.
        configs: {network name: config} of the networks.
        fusion: method of the fusion.
        probabilities: whether probabilities are kept.
        roi: the region of interest, or None.

    Raises:
        InputError: the header cannot be used.
    """
    shape, spacing_mm, voxel_bytes = header_of(source)
    a_voxel = voxel_bytes + LABEL_BYTES
    a_voxel += MEAN_BYTES if fusion == "mean" else 0
    a_voxel += PROBABILITY_BYTES if probabilities else 0
    a_voxel += PLACED_BYTES if probabilities and roi else 0
    return math.prod(shape) * a_voxel + working_bytes(shape, spacing_mm, configs)


def working_bytes(shape, spacing_mm, configs):
    """What the working grids of kidney networks take: the CT on each, all kept, and the probability on one."""
    grids = {
        (config.body_box, geometry.working_shape(shape, spacing_mm, config))
        for config in configs.values()
        if config.stage == "kidney" and not geometry.is_native(config)
    }
    voxels = [math.prod(grid) for _, grid in grids]
    matrices = [MATRIX_BYTES * max(a * b for a, b in zip(shape, grid, strict=True)) for _, grid in grids]
    return WORKING_BYTES * (sum(voxels) + max(voxels, default=0)) + max(matrices, default=0)


def header_of(source):
    """(shape, spacing_mm, bytes of a voxel while it is read) of an Input."""
    if source.series:
        ordered = stack(source.series)
        # Images that do not lie on the working axes are turned there by a copy.
        return ordered.grid.shape, ordered.grid.spacing_mm, 4 if ordered.is_whole else 8
    if is_record(source.path):
        header = read_header(str(source.path))
        return tuple(int(size) for size in header["full_shape"]), tuple(float(s) for s in header["spacing_mm"]), 2
    from kits_tf.io.volume import read_grid

    grid = read_grid(source.path)
    file = nifti.read_header(source.path)
    stays = file.scaling == (1.0, 0.0) and np.can_cast(file.header.get_data_dtype(), np.int16)
    return grid.shape, grid.spacing_mm, 2 if stays else 6  # while int16 is widened to float32, both are there


def free_bytes():
    """Memory that this process may take: what the system has free, or its control group if that is less."""
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]))
    return max(0, min(free + free_in_groups(GROUP, OWN_GROUPS)))


def free_in_groups(mount, own):
    """What the limits of this process's control group, and of all that hold it, leave.

    A batch system limits a group far below the mount; within a container the mount may be the group itself.

    Args:
        mount: where control groups are mounted, of version 2 or, in its `memory` folder, 1.
        own: the file that names this process's groups, such as `/proc/self/cgroup`.

    Returns:
        a list, empty where no limit is set; the page cache counts as free.
    """
    groups = {"": ".", "memory": "."}
    with contextlib.suppress(OSError, ValueError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            groups |= {name: path.lstrip("/") or "." for name in controllers.split(",")}
    free = []
    for root, group, files in (
        (mount, groups[""], ("memory.max", "memory.current", "")),
        (mount / "memory", groups["memory"], ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")),
    ):
        path = pathlib.PurePath(group)
        for folder in (path, *path.parents):
            free += free_in_group(root / folder, *files)
    return free


def free_in_group(folder, limit, used, prefix):
    """What one control group's limit leaves: a list of one number, or an empty one."""
    with contextlib.suppress(OSError, ValueError):
        taken = int((folder / used).read_text()) - cached_bytes(folder / "memory.stat", prefix)
        return [int((folder / limit).read_text()) - max(0, taken)]
    return []


def cached_bytes(path, prefix=""):
    """The page cache in a control group's `memory.stat`, which the kernel takes back when memory is asked for.

    Args:
        path: the file; without it there is no cache.
        prefix: of the names that count groups below too: "total_" in version 1.
    """
    names = {f"{prefix}active_file", f"{prefix}inactive_file"}
    try:
        pairs = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
        return sum(int(count) for name, count in pairs if name in names)
    except (OSError, ValueError):
        return 0


class Budget:
    """Lets CTs into work as long as what they take together stays below a bound.

    Args:
        total: bytes.
    """

    def __init__(self, total):
        self.total = total
        self._taken = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, source, count, cancel):
        """Waits until `count` bytes are to be had and holds them while the block runs.

        Raises:
            InputError: they never will be.
        """
        if count > self.total:
            reason = f"too large: would take {count / GB:.3g} GB, --memory_gb allows {self.total / GB:.3g}"
            raise InputError(source.where, reason)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + count <= self.total or cancel.is_set())
            self._taken += count
        try:
            yield
        finally:
            with self._changed:
                self._taken -= count
                self._changed.notify_all()
