"""Many CTs: a few in work at once, one in the networks while others are read and written; a bad one stops no other."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import logging
import pathlib
import resource
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from kits_tf.data.kits19 import PROBABILITY_SUFFIXES
from kits_tf.errors import CancelledError, InputError
from kits_tf.inference import inputs, outputs
from kits_tf.inference.fusion import UNIT
from kits_tf.inference.inputs import Input
from kits_tf.io.volume import Volume, write_scaled

if TYPE_CHECKING:
    from kits_tf.inference.segmenter import Segmentation, Segmenter

BYTES_PER_VOXEL = 10
"""float32 HU, fusion, sides and labels, and some for the working grids; the networks themselves need little."""
PROBABILITY_BYTES_PER_VOXEL = 5


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one CT: the sidecar's content, or why it failed in one line."""

    source: Input
    sidecar: dict[str, Any] = dataclasses.field(default_factory=dict)
    reason: str = ""
    removed: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Job:
    """What is done with each CT.

    Attributes:
        segmenter: Finds the labels.
        output_dir: Folder to write to.
        checkpoint: Name of the weights, for the sidecar.
        settings: What decides the labels; see `outputs.network_settings`.
        kidney_masks: Folder of masks (label > 0) that replace stage 1, or None.
        roi: Region of interest, as of `Segmenter.run`.
        probabilities: Whether to write probabilities.
        writers: Write more beside the labels.
    """

    segmenter: Segmenter
    output_dir: pathlib.Path
    checkpoint: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    kidney_masks: str | None = None
    roi: Sequence[slice] | None = None
    probabilities: bool = False
    writers: Sequence[outputs.Writer] = ()


def case_settings(settings: Mapping[str, Any], kidney_masks: str | None, source: Input) -> dict[str, Any]:
    """Return the settings of one CT: those of the run, and the digest of its kidney mask."""
    mask = kidney_masks and outputs.file_digest(inputs.mask_path(kidney_masks, source))
    return {**settings, "kidney_mask": mask or None}


def segment_all(
    job: Job, sources: Sequence[Input], workers: int, progress: Callable[[Input, float], object] = lambda *_: None
) -> Generator[Outcome, None, None]:
    """Segment CTs and write what belongs to them.

    Args:
        job: What to do.
        sources: The CTs.
        workers: How many are in work at once; fewer where memory would not suffice.
        progress: Called with (CT, share done) from several threads.

    Yields:
        What became of each, as they are done. If the caller closes the generator, work is cancelled.
    """
    memory, turn = _Memory(), threading.Lock()
    voxel_bytes = BYTES_PER_VOXEL + (PROBABILITY_BYTES_PER_VOXEL if job.probabilities else 0)

    def work(source: Input, cancel: threading.Event) -> Outcome:
        with memory.reserved(source, source.voxels * voxel_bytes, cancel):
            return segment(job, source, turn, cancel, lambda share: progress(source, share))

    yield from run_all(work, sources, workers)


def run_all(
    work: Callable[[Input, threading.Event], Outcome], sources: Sequence[Input], workers: int
) -> Generator[Outcome, None, None]:
    """Run work(CT, cancel) in threads and yield the outcomes as they are done; errors become their reason.

    If the caller closes the generator, `cancel` is set, CTs in work end and others are not begun.
    """
    cancel, pool = threading.Event(), concurrent.futures.ThreadPoolExecutor(workers)
    try:
        futures = [pool.submit(_attempt, work, source, cancel) for source in sources]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()
    finally:
        cancel.set()
        pool.shutdown(cancel_futures=True)


def _attempt(work: Callable[[Input, threading.Event], Outcome], source: Input, cancel: threading.Event) -> Outcome:
    try:
        if source.fault:
            raise source.fault
        if cancel.is_set():
            raise CancelledError
        return work(source, cancel)
    except InputError as error:
        return Outcome(source, reason=str(error))
    except MemoryError:
        return Outcome(source, reason=f"{source.where}: not enough memory")
    except CancelledError:
        return Outcome(source, reason=f"{source.where}: cancelled")
    except OSError as error:  # mostly one of writing
        place = source.output_name if source.series or not error.filename else error.filename
        return Outcome(source, reason=f"{source.where}: {place}: {error.strerror or one_line(error)}")
    except Exception as error:  # a fault of the program or a library: the other CTs are not to suffer
        logging.getLogger(__name__).debug("failed", exc_info=True)
        return Outcome(source, reason=f"{source.where}: {one_line(error)}")


def one_line(error: Exception) -> str:
    """Return an unforeseen error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__} ({lines[0][:200]})" if lines else type(error).__name__


def segment(
    job: Job,
    source: Input,
    turn: contextlib.AbstractContextManager | None = None,
    cancel: threading.Event | None = None,
    progress: Callable[[float], object] | None = None,
) -> Outcome:
    """Segment one CT and write what belongs to it; `turn` is held while networks run.

    Raises:
        InputError: The CT or its mask cannot be used.
        CancelledError: `cancel` was set.
    """
    start = time.perf_counter()
    settings = case_settings(job.settings, job.kidney_masks, source)
    source.digest  # noqa: B018  # before the CT is read, so that a change meanwhile is noticed by the next run
    volume = source.read()
    mask = inputs.read_mask(inputs.mask_path(job.kidney_masks, source), volume) if job.kidney_masks else None
    seconds = {"read": time.perf_counter() - start}
    with turn or contextlib.nullcontext():
        try:
            found = job.segmenter.run(
                volume.hu, volume.spacing_mm, mask=mask, roi=job.roi, box=source.body_box,
                probabilities=job.probabilities, progress=progress, cancel=cancel,
            )  # fmt: skip
        except ValueError as error:
            raise InputError(source.where, error) from None
    sidecar = outputs.sidecar_of(
        source, volume, found.labels, settings, found.sides,
        engine=job.segmenter.engine.name, precision=job.segmenter.engine.precision, seconds=seconds | found.seconds,
        peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1), checkpoint=job.checkpoint,
    )  # fmt: skip
    if mask is not None:
        sidecar["warnings"] += _left_out(mask, found.labels, job.roi, volume)
    case = outputs.Case(source, volume, found.labels, sidecar)
    writers = [*_probability_writers(found), *([write_seg] if source.series else []), *job.writers]
    removed = outputs.write_case(case, job.output_dir, writers)
    return Outcome(source, sidecar, removed=removed)


def write_seg(path: pathlib.Path, case: outputs.Case) -> None:
    """Write the DICOM SEG of a series' labels beside them."""
    from kits_tf.io.dicom_seg import write_segmentation

    if case.source.series:
        write_segmentation(case.labels, case.source.series, outputs.beside(path, outputs.SEG_SUFFIX))


def _probability_writers(found: Segmentation) -> Iterator[outputs.Writer]:
    for stage, probability in found.probabilities.items():
        yield lambda path, case, stage=stage, probability=probability: write_scaled(  # type: ignore[misc]
            probability, 1 / UNIT, case.volume, outputs.beside(path, PROBABILITY_SUFFIXES[stage])
        )


def _left_out(mask: np.ndarray, labels: np.ndarray, roi: Sequence[slice] | None, volume: Volume) -> list[str]:
    """Return a warning where pieces of a given kidney mask are too small to be kidney."""
    inside = tuple(roi or ())
    lost = (np.count_nonzero(mask[inside]) - np.count_nonzero(labels[inside])) * volume.voxel_ml
    return [f"{lost:.1f} ml of the given kidney mask lie in small pieces and are left out"] if lost > 0 else []


class _Memory:
    """Lets CTs into work as long as what they need together is available."""

    def __init__(self) -> None:
        self._free = psutil.virtual_memory().available
        self._total = self._free
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def reserved(self, source: Input, count: int, cancel: threading.Event) -> Iterator[None]:
        """Wait until `count` bytes are free and hold them; InputError where they never will be."""
        if count > self._total:
            reason = f"too large: needs about {count / 1e9:.3g} GB, {self._total / 1e9:.3g} GB are available"
            raise InputError(source.where, reason)
        with self._changed:
            self._changed.wait_for(lambda: count <= self._free or cancel.is_set())
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()
