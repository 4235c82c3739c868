"""Segments CTs on a server: sends each to TensorFlow Serving, with what kits-export wrote, and writes its labels."""

import contextlib
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
    from kits_tf.inference import inputs, outputs

    sources, settings, waiting, failed = inputs.find_inputs(FLAGS.input).inputs, {"server_model": FLAGS.model}, [], 0
    for source in sources:
        try:
            if FLAGS.overwrite or source.fault or not outputs.is_done(source, FLAGS.output_dir, settings):
                waiting.append(source)
        except InputError as error:
            failed += 1
            print(error, file=sys.stderr)
    done = len(sources) - len(waiting) - failed
    if done:
        print(f"{done} of {len(sources)} CTs are already written; --overwrite segments them again")
    if waiting:
        app.check_output_folder("output_dir", FLAGS.output_dir)
    return 1 if segment_all(client, waiting, settings) + failed else 0


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


def segment_all(client, sources, settings):
    """Segment CTs, several at once, and print a line about each; return how many failed."""
    from kits_tf.inference import jobs

    failed = 0
    with contextlib.closing(
        jobs.run_all(lambda source, cancel: segment(client, source, settings), sources, FLAGS.workers)
    ) as outcomes:
        for number, outcome in enumerate(outcomes, 1):
            failed += bool(outcome.reason)
            for warning in outcome.sidecar.get("warnings", []):
                print(f"{outcome.source.where}: warning: {warning}", file=sys.stderr, flush=True)
            line = outcome.reason or f"{outcome.source.output_name}: {outcome.sidecar['seconds']['total']:.1f} s"
            print(f"[{number}/{len(sources)}] {line}", file=sys.stderr if outcome.reason else sys.stdout, flush=True)
    return failed


def segment(client, source, settings):
    """Segment one CT on the server and write its labels; return the outcome."""
    from kits_tf.inference import jobs, outputs
    from kits_tf.serving.client import ServerError, retry

    start = time.monotonic()
    source.digest  # noqa: B018  # before the CT is read, so that a change meanwhile is noticed by the next run
    volume = source.read()
    try:
        labels = retry(lambda: client.segment(volume.hu, volume.spacing_mm), FLAGS.attempts, FLAGS.wait_seconds)
    except ServerError as error:
        raise InputError(source.where, error) from None
    seconds = {"request": time.monotonic() - start}
    sidecar = outputs.sidecar_of(source, volume, labels, settings, engine="server", seconds=seconds)
    outputs.write_case(outputs.Case(source, volume, labels, sidecar), pathlib.Path(FLAGS.output_dir))
    return jobs.Outcome(source, sidecar)


def run():
    """The console command kits-request."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
