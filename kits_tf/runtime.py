"""Start of TensorFlow, without the lines it prints before it reads its log level, and of worker processes."""

import logging
import multiprocessing
import os
import signal
import tempfile
import threading

from kits_tf.errors import UsageError


def load_tensorflow() -> None:
    """Import TensorFlow and Keras and initialise the devices; output on stderr is held back unless the import fails.

    Settings that the user has made in the environment are kept. `TF_CPP_MIN_LOG_LEVEL=0` shows everything.

    Raises:
        UsageError: Keras is set to another backend.
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
            import keras
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise UsageError(None, f"Keras runs on {backend}, this command needs TensorFlow; unset KERAS_BACKEND")


def start_worker() -> None:
    """Prepare a worker process: leave Ctrl-C to its parent, and end with the parent even if that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
