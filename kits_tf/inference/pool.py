"""Many CTs: a few in work at once within a bound on memory, so that reading and writing hide behind the networks."""

import concurrent.futures
import dataclasses
import logging
import threading

from kits_tf.errors import CancelledError, InputError
from kits_tf.inference import memory
from kits_tf.inference.cases import segment_file


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one CT.

    Attributes:
        source: its Input.
        summary: its JSON's content, or None if it failed.
        reason: why it failed, in one line, or None.
    """

    source: object
    summary: dict | None = None
    reason: str | None = None


def segment_all(task, sources, workers, total_bytes, progress=lambda name, share: None):
    """Segments CTs, a few at a time: one runs its networks while others are read and written.

    Args:
        task: a `cases.Task`.
        sources: list of Inputs.
        workers: how many to have in work at once; fewer where memory would not suffice.
        total_bytes: what CTs in work may take together; one that would take more alone is refused.
        progress: called with (the output's name, share done), from several threads.

    Yields:
        An Outcome for each CT, in the order in which they are done. Where the caller leaves, work is given up.
    """
    budget, turn, cancel = memory.Budget(total_bytes), threading.Lock(), threading.Event()

    def segment(source):
        count = memory.needed_bytes(
            source, task.segmenter.configs, task.segmenter.fusion, task.probabilities, task.roi
        )
        with budget.taken(source, count, cancel):
            if cancel.is_set():
                raise CancelledError
            share_of_this = lambda share: progress(source.output_name, share)  # noqa: E731
            return segment_file(task, source, share_of_this, cancel, turn)

    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        for done in concurrent.futures.as_completed(
            [pool.submit(attempt, segment, source, task.output_dir) for source in sources]
        ):
            yield done.result()
    finally:
        cancel.set()
        pool.shutdown(cancel_futures=True)


def attempt(work, source, output_dir):
    """The Outcome of `work(source)`, which returns a JSON's content; None where it was given up.

    Args:
        work: a function of an Input.
        source: the Input.
        output_dir: the folder that it writes to.
    """
    try:
        if source.fault:
            raise source.fault
        return Outcome(source, work(source))
    except InputError as error:
        return Outcome(source, reason=str(error))
    except MemoryError:
        return Outcome(source, reason=f"{source.where}: not enough memory")
    except OSError as error:
        return Outcome(source, reason=unwritten(source, error, output_dir))
    except CancelledError:
        return None
    except Exception as error:  # a fault of the program, or of a library: the other CTs do not suffer from it
        logging.getLogger(__name__).debug("segmenting failed", exc_info=True)
        return Outcome(source, reason=f"{source.where}: {one_line(error)}")


def unwritten(source, error, output_dir):
    """An OSError in one line: it is mostly one of writing, so it names the file that it came from, or the folder."""
    place = source.shown(error.filename or output_dir)
    return f"{source.where}: {place}: {error.strerror or one_line(error)}"


def one_line(error):
    """An unforeseen error in one line; libraries write many."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__} ({lines[0][:200]})" if lines else type(error).__name__
