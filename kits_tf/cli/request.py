"""Segments CTs on a server: sends each to TensorFlow Serving, with what kits-export wrote, and writes its labels."""

import concurrent.futures
import logging
import pathlib
import sys
import time

from absl import flags

from kits_tf import runtime
from kits_tf.cli import app
from kits_tf.errors import InputError, UsageError

FLAGS = flags.FlagValues()

flags.DEFINE_string(
    "input", None, "A NIfTI file, a folder of them, a case folder or a KiTS19-layout folder. Required, but with "
    "--check.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string("output_dir", None, "Folder to write labels to. Required, but with --check.", flag_values=FLAGS)
flags.DEFINE_string(
    "server", "http://localhost:8501", "http://HOST:PORT for REST, grpc://HOST:PORT for gRPC.", flag_values=FLAGS
)
flags.DEFINE_string("model", "system", "The served model's name.", flag_values=FLAGS)
flags.DEFINE_integer("workers", 2, "CTs under way at once.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_float("timeout_seconds", 600.0, "For one attempt at one CT.", flag_values=FLAGS, lower_bound=0.1)
flags.DEFINE_integer(
    "attempts", 3, "How often a CT is sent at most, where the server is busy, away or too slow.", lower_bound=1,
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float(
    "wait_seconds", 2.0, "Before the second attempt; doubled each time.", flag_values=FLAGS, lower_bound=0,
)  # fmt: skip
flags.DEFINE_bool("overwrite", False, "Segment cases again that are already written.", flag_values=FLAGS)
flags.DEFINE_bool("check", False, "Only asks whether the server is ready.", flag_values=FLAGS)


def main():
    """Segments every CT of --input on the server; returns the exit code."""
    if not FLAGS.check and not (FLAGS.input and FLAGS.output_dir):
        raise UsageError("output_dir" if FLAGS.input else "input", "is required, except with --check")
    client = connect()
    if FLAGS.check:
        return check(client)
    from kits_tf.inference import inputs

    sources = inputs.unique(inputs.find_inputs(FLAGS.input))
    waiting = [s for s in sources if FLAGS.overwrite or not (pathlib.Path(FLAGS.output_dir) / s.output_name).is_file()]
    if len(waiting) < len(sources):
        print(f"{len(sources) - len(waiting)} of {len(sources)} CTs are already written; --overwrite does them again")
    if waiting:
        app.check_output_folder("output_dir", FLAGS.output_dir)
    return 1 if segment_all(client, waiting) else 0


def connect():
    """The client for --server."""
    from kits_tf.serving import client

    if FLAGS.server.startswith("grpc:"):
        runtime.load_tensorflow()  # its messages are made of TensorFlow's
    return client.connect(FLAGS.server, FLAGS.model, FLAGS.timeout_seconds)


def check(client):
    """Says whether the server is ready; returns the exit code."""
    from kits_tf.serving.client import ServerError, retry

    try:
        retry(client.check_health, FLAGS.attempts, FLAGS.wait_seconds)
    except ServerError as error:
        print(f"{FLAGS.server}: {error}", file=sys.stderr)
        return 1
    print(f"{FLAGS.server}: {FLAGS.model} is ready")
    return 0


def segment_all(client, sources):
    """Segments CTs, some at once, and prints a line about each; returns how many failed.

    A run that is stopped waits for the CTs under way and leaves the others.
    """
    failed = 0
    pool = concurrent.futures.ThreadPoolExecutor(FLAGS.workers)
    try:
        results = [pool.submit(segment, client, source) for source in sources]
        for number, result in enumerate(concurrent.futures.as_completed(results), 1):
            error, line = result.result()
            failed += error
            print(f"[{number}/{len(sources)}] {line}", file=sys.stderr if error else sys.stdout, flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    return failed


def segment(client, source):
    """Segments one CT; returns (whether it failed, a line about it)."""
    from kits_tf.inference import companions, reading
    from kits_tf.inference.pool import one_line, unwritten
    from kits_tf.io.volume import write_labels
    from kits_tf.serving.client import ServerError, retry

    start = time.monotonic()
    try:
        if source.fault:
            raise source.fault
        volume = reading.read(source)
        labels = retry(lambda: client.segment(volume.hu, volume.spacing_mm), FLAGS.attempts, FLAGS.wait_seconds)
        path = pathlib.Path(FLAGS.output_dir) / source.output_name
        companions.remove(path)
        write_labels(labels, volume, path)
    except InputError as error:
        return True, str(error)
    except ServerError as error:
        return True, f"{source.where}: {error}"
    except MemoryError:
        return True, f"{source.where}: not enough memory"
    except OSError as error:
        return True, unwritten(source, error, FLAGS.output_dir)
    except Exception as error:  # a fault of the program, or of a library: the other CTs do not suffer from it
        logging.getLogger(__name__).debug("segmenting failed", exc_info=True)
        return True, f"{source.where}: {one_line(error)}"
    return False, f"{source.output_name}: {time.monotonic() - start:.1f} s"


def run():
    """The console command kits-request."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
