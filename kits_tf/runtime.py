"""Start TensorFlow without the lines it logs on import, and start worker processes."""

import concurrent.futures
import contextlib
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from kits_tf.errors import UsageError
from kits_tf.progress import counted

Item = TypeVar("Item")
Result = TypeVar("Result")


def load_tensorflow(device: str = "auto") -> None:
    """Import TensorFlow and Keras and initialise the devices; their output on stderr is shown only if this fails.

    Environment variables that the user has set are kept. `TF_CPP_MIN_LOG_LEVEL=0` shows everything.

    Args:
        device: "auto" for all devices, "cpu", or "gpu:N" for one GPU. It has no effect once TensorFlow uses the GPUs.

    Raises:
        UsageError: Keras is set to another backend, or there is no such GPU.
    """
    # TensorFlow enables its oneDNN kernels only on processors with AVX-512 VNNI or AMX; without them 3D convolutions
    # take three to ten times as long on others.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    is_verbose = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0"
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        if not is_verbose:
            os.dup2(held.fileno(), 2)
        try:
            import keras  # noqa: F401
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    check_backend()
    gpus = tf.config.list_physical_devices("GPU")
    number = int(device.partition(":")[2] or -1)
    if number >= len(gpus):
        raise UsageError("device", f"{device} does not exist; TensorFlow finds {counted(len(gpus), 'GPU')}")
    if device != "auto":
        with contextlib.suppress(RuntimeError):  # they are in use
            tf.config.set_visible_devices(gpus[number : number + 1] if number >= 0 else [], "GPU")


def check_backend() -> None:
    """Raise UsageError unless Keras runs on TensorFlow."""
    import keras

    if (backend := keras.config.backend()) != "tensorflow":
        raise UsageError(None, f"Keras runs on {backend}, must be tensorflow; unset KERAS_BACKEND")


def start_worker() -> None:
    """Prepare a worker process: ignore Ctrl-C, which is up to the parent, and exit if the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def in_processes(function: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Iterator[Result]:
    """Yield the function's results in order, from this process or from several processes of one thread each.

    Raises:
        concurrent.futures.BrokenExecutor: a process was killed.
    """
    processes = min(processes, len(items))
    if processes < 2:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    with concurrent.futures.ProcessPoolExecutor(processes, context, _start_with_one_thread) as pool:
        try:
            yield from pool.map(function, items)
        except BaseException:  # also if the consumer stops: leaving the block would wait for running tasks
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _start_with_one_thread() -> None:
    """Prepare a worker before it imports NumPy, so that workers' threads do not compete."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    start_worker()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
