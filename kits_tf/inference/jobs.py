"""Segment many CTs: one is in the networks while others are read and written; a bad one does not stop the others."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from kits_tf import files
from kits_tf.errors import CancelledError, InputError, one_line
from kits_tf.inference import inputs, outputs
from kits_tf.inference.inputs import Input
from kits_tf.io import nifti

if TYPE_CHECKING:
    from kits_tf.inference.segmenter import Segmenter

# float32 HU, fusion, sides, labels and the working grids; the networks themselves need little.
BYTES_PER_VOXEL, PROBABILITY_BYTES_PER_VOXEL = 10, 5
PATIENCE_SECONDS = 15.0  # for CTs in progress to end when a run is stopped; a read from a dead disk never does


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one CT: the sidecar's content, or why it failed in one line."""

    source: Input
    sidecar: dict[str, Any] = dataclasses.field(default_factory=dict)
    reason: str = ""
    removed: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Job:
    """What is done with each CT."""

    segmenter: Segmenter
    output_dir: pathlib.Path
    checkpoint: str  # name of the weights, for the sidecar
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # see `outputs.network_settings`
    kidney_masks: str | None = None  # folder of masks (label > 0) that replace stage 1
    roi: Sequence[slice] | None = None  # see `Segmenter.run`
    probabilities: bool = False  # whether to write them
    writers: Sequence[outputs.Writer] = ()  # of further files


def case_settings(settings: Mapping[str, Any], kidney_masks: str | None, source: Input) -> dict[str, Any]:
    """Return the settings of one CT: those of the run, and the digest of its kidney mask."""
    mask = kidney_masks and files.digest(inputs.mask_path(kidney_masks, source))
    return {**settings, "kidney_mask": mask or None}


def segment_all(
    job: Job, sources: Sequence[Input], workers: int, progress: Callable[[Input, float], object] = lambda *_: None
) -> Generator[Outcome, None, None]:
    """Segment CTs, up to `workers` at once as memory allows, write their outputs and yield the outcomes.

    `progress` is called with (CT, share done) from several threads. See also `run_all`.
    """
    turn, changed = threading.Lock(), threading.Condition()
    free = total = psutil.virtual_memory().available

    def work(source: Input, cancel: threading.Event) -> Outcome:
        nonlocal free
        needed = needed_bytes(source, job.probabilities)
        if needed > total:
            reason = f"too large: needs about {needed / 1e9:.3g} GB, {total / 1e9:.3g} GB are available"
            raise InputError(source.where, reason)
        with changed:
            changed.wait_for(lambda: needed <= free or cancel.is_set())
            free -= needed
        try:
            return segment(job, source, turn, cancel, lambda share: progress(source, share))
        finally:
            with changed:
                free += needed
                changed.notify_all()

    yield from run_all(work, sources, workers)


def needed_bytes(source: Input, probabilities: bool) -> int:
    """Return the memory that a CT needs while it is segmented."""
    return source.voxels * (BYTES_PER_VOXEL + (PROBABILITY_BYTES_PER_VOXEL if probabilities else 0))


def read_ahead(source: Input, probabilities: bool) -> None:
    """Start reading a NIfTI file while networks are loaded, if memory suffices; errors are raised when it is used."""
    with contextlib.suppress(InputError):
        if nifti.is_nifti(source.path) and needed_bytes(source, probabilities) < psutil.virtual_memory().available:
            source.read_ahead()


def run_all(
    work: Callable[[Input, threading.Event], Outcome], sources: Sequence[Input], workers: int
) -> Generator[Outcome, None, None]:
    """Run work(CT, cancel) in threads and yield the outcomes as they finish; an error becomes an outcome's `reason`.

    If the caller closes the generator, `cancel` is set, CTs in progress end and no others are started. A CT that does
    not end in time is named and abandoned.
    """
    cancel, pool = threading.Event(), concurrent.futures.ThreadPoolExecutor(workers)
    futures: dict[concurrent.futures.Future[Outcome], Input] = {}
    try:
        futures = {pool.submit(attempt, one, functools.partial(work, one, cancel)): one for one in sources}
        for future in concurrent.futures.as_completed(futures):
            yield future.result()
    finally:
        cancel.set()
        pool.shutdown(wait=False, cancel_futures=True)
        begun = [future for future in futures if not future.cancelled()]
        for future in concurrent.futures.wait(begun, PATIENCE_SECONDS).not_done:
            print(f"{futures[future].where}: does not respond; not waited for", file=sys.stderr, flush=True)


def attempt(source: Input, work: Callable[[], Outcome]) -> Outcome:
    """Return the outcome of work on a CT, with any error as its `reason`."""
    try:
        if source.fault:
            raise source.fault
        return work()
    except InputError as error:
        return Outcome(source, reason=str(error))
    except Exception as error:  # including bugs and errors in libraries: one CT must not stop the others
        logging.getLogger(__name__).debug("failed", exc_info=True)
        return Outcome(source, reason=f"{source.where}: {_reason(source, error)}")


def _reason(source: Input, error: Exception) -> str:
    """Return an error in one line without a patient's name."""
    if isinstance(error, MemoryError | CancelledError):
        return "not enough memory" if isinstance(error, MemoryError) else "cancelled"
    if isinstance(error, OSError) and error.strerror:  # mostly while writing
        return f"{source.output_name if source.series or not error.filename else error.filename}: {error.strerror}"
    return f"{type(error).__name__} ({one_line(error)})"


def segment(
    job: Job,
    source: Input,
    turn: contextlib.AbstractContextManager | None = None,
    cancel: threading.Event | None = None,
    progress: Callable[[float], object] | None = None,
) -> Outcome:
    """Segment one CT and write its outputs; `turn` is held while networks run.

    Raises InputError if the CT or its mask cannot be used, CancelledError if `cancel` was set.
    """
    start = time.perf_counter()
    settings = case_settings(job.settings, job.kidney_masks, source)
    volume = source.read()
    mask = inputs.read_mask(job.kidney_masks, source, volume) if job.kidney_masks else None
    seconds = {"read": time.perf_counter() - start}
    with turn or contextlib.nullcontext():
        try:
            found = job.segmenter.run(
                volume.hu, volume.spacing_mm, mask=mask, roi=job.roi, probabilities=job.probabilities,
                progress=progress, cancel=cancel,
            )  # fmt: skip
        except ValueError as error:
            raise InputError(source.where, error) from None
    sidecar = outputs.sidecar_of(
        source, volume, found.labels, settings, found.sides, engine=job.segmenter.engine.name,
        precision=job.segmenter.engine.precision, seconds=seconds | found.seconds, checkpoint=job.checkpoint,
        notice=job.segmenter.notice or None,
    )  # fmt: skip
    if mask is not None:
        inside = tuple(job.roi or ())
        lost_ml = np.count_nonzero(mask[inside] & (found.labels[inside] == 0)) * volume.voxel_ml
        warning = f"{lost_ml:.1f} ml of the given kidney mask are left out: pieces too small or far from the middle"
        sidecar["warnings"] += [warning] if lost_ml else []
    case = outputs.Case(source, volume, found.labels, sidecar, found.probabilities)
    return Outcome(source, sidecar, removed=outputs.write_case(case, job.output_dir, job.writers))
