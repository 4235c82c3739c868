"""Simulated cases as files in the KiTS19 layout, made by several processes."""

import contextlib
import dataclasses
import functools
import multiprocessing
import os
import pathlib
import shutil

from kits_tf.data import kits19
from kits_tf.data.workers import prepare_worker
from kits_tf.errors import InputError
from kits_tf.files import replacing
from kits_tf.io import volume
from kits_tf.simulation import anatomy
from kits_tf.simulation.phantom.around import simulate_around
from kits_tf.simulation.phantom.simulation import simulate


@dataclasses.dataclass(frozen=True)
class Request:
    """Which cases to make.

    Attributes:
        output_dir: folder for the cases.
        seed: seed of the whole set.
        options: keyword arguments of `simulate`, of which `simulate_around` takes `phases` alone.
        masks_dir: KiTS19-layout folder of label volumes to simulate around; None for whole patients.
        organs: the `anatomy.Sources` to make patients from; None for random ones.
    """

    output_dir: str
    seed: int
    options: dict
    masks_dir: str | None = None
    organs: anatomy.Sources | None = None


def make_cases(request, numbers, processes):
    """Makes the cases that are not there yet.

    Args:
        request: a `Request`.
        numbers: case numbers.
        processes: how many work at once.

    Yields:
        (case id, None) for each case when it is there, (case id, reason) for one that could not be made.
    """
    work = functools.partial(try_case, request)
    processes = min(processes, len(numbers))
    if processes <= 1:
        yield from map(work, numbers)
        return
    with single_threaded_children():
        pool = multiprocessing.get_context("spawn").Pool(processes, initializer=prepare_worker)
    with pool:
        yield from pool.imap_unordered(work, numbers)
        pool.close()  # its processes end by themselves; leaving the block early, they are terminated
        pool.join()


def try_case(request, number):
    """Makes one case; returns its id and, where that failed, why."""
    name = kits19.case_name(number)
    try:
        make_case(request, number)
    except InputError as error:
        return name, str(error)
    except (OSError, MemoryError) as error:
        return name, f"{name}: {getattr(error, 'strerror', None) or 'not enough memory'}"
    return name, None


def make_case(request, number):
    """Writes one case's imaging and labels unless both are there."""
    folder = pathlib.Path(request.output_dir) / kits19.case_name(number)
    image, label = folder / kits19.IMAGE_NAME, folder / kits19.LABEL_NAME
    if image.is_file() and label.is_file():
        return
    if request.masks_dir is None:
        whole = simulate if request.organs is None else functools.partial(anatomy.simulate, request.organs)
        hu, labels, spacing_mm, affine = whole(request.seed, number, **request.options)
        case = volume.Volume(hu, spacing_mm, affine)
        volume.write_volume(case, image)
        volume.write_labels(labels, case, label)
        return
    source = pathlib.Path(request.masks_dir) / folder.name / kits19.LABEL_NAME
    labels, grid = volume.read_labels(source)
    hu = simulate_around(labels, grid.spacing_mm, request.seed, number, request.options.get("phases"))
    volume.write_volume(volume.Volume(hu, grid.spacing_mm, grid.affine, grid.source), image)
    with replacing(label) as temporary:
        shutil.copyfile(source, temporary)


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextlib.contextmanager
def single_threaded_children():
    """Processes started within compute on one thread each, or they would crowd each other out."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
