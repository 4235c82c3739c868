"""TensorFlow's start without its chatter."""

import os
import tempfile


def load_tensorflow():
    """Imports TensorFlow and looks for its devices, without the lines that it writes before it reads its log level.

    They go to the file descriptor of stderr, so that is where they are held back; if the import fails, they are shown.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
