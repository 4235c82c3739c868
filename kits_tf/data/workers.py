"""Work on cases in several processes, with a bound on what is in memory at the same time."""

import concurrent.futures
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures.process import BrokenProcessPool

from kits_tf.errors import UsageError

MAX_VOXELS = 250_000_000
"""Voxels of the cases being worked on at a time, unless a single case has more; they take about 8 bytes each."""

WORTH_A_PROCESS = 100_000_000
"""Voxels below which starting processes takes longer than the work."""


def spread(function, jobs, processes):
    """Calls a function for each job and yields the results as they come.

    Args:
        function: a function of a module, called with a job's arguments.
        jobs: list of (arguments, voxels).
        processes: how many to work at once; few and small jobs are done in this process.

    Yields:
        the function's results, in no certain order.

    Raises:
        UsageError: a process was killed.
    """
    processes = min(processes, len(jobs))
    if processes <= 1 or sum(voxels for _, voxels in jobs) < WORTH_A_PROCESS:
        for arguments, _ in jobs:
            yield function(*arguments)
        return
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    pool = concurrent.futures.ProcessPoolExecutor(processes, context, initializer=prepare_worker)
    try:
        yield from bounded(pool, function, jobs, processes)
    except BrokenProcessPool:
        reason = f"one of {processes} was killed, likely for want of memory; takes fewer (run again, it continues)"
        raise UsageError("processes", reason) from None
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def bounded(pool, function, jobs, processes):
    """Hands jobs to a pool as long as their voxels stay below MAX_VOXELS; yields the results as they come."""
    waiting, running = list(jobs), {}
    while waiting or running:
        while waiting and len(running) < processes:
            place = next((k for k, (_, size) in enumerate(waiting) if fits(size, running.values())), None)
            if place is None:
                break
            arguments, voxels = waiting.pop(place)
            running[pool.submit(function, *arguments)] = voxels
        done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in done:
            del running[future]
            yield future.result()


def fits(voxels, running):
    """Whether a job may start beside those that run."""
    return not running or sum(running) + voxels <= MAX_VOXELS


def prepare_worker():
    """A worker ends by exception when terminated, so that half-written files are removed; Ctrl-C is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent():
    """Waits for the parent to end, which a killed one does without a word, and ends too."""
    multiprocessing.parent_process().join()
    os._exit(1)
