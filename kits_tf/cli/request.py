"""Segment CTs on a TensorFlow Serving server that serves the system of kits-export, and write the labels.

Example: kits-request --input=scan.nii.gz --output_dir=labels --server=http://localhost:8501
"""

from __future__ import annotations

import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

from absl import flags

from kits_tf import runtime
from kits_tf.cli import app, batch
from kits_tf.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from kits_tf.inference.inputs import Input
    from kits_tf.inference.jobs import Outcome
    from kits_tf.inference.outputs import Writer
    from kits_tf.serving.client import Client

FLAGS = flags.FlagValues()
SERVER = app.group(FLAGS, "Server")

batch.define_input_flags(FLAGS, required=False)
flags.DEFINE_string("server", "http://localhost:8501", "http://HOST:PORT for REST, or grpc://HOST:PORT.", **SERVER)
flags.DEFINE_string("model", "system", "Name of the served model.", **SERVER)
flags.DEFINE_integer("workers", 2, "CTs processed at once.", lower_bound=1, **SERVER)
flags.DEFINE_float("timeout_seconds", 600.0, "Time limit of one attempt at one CT.", lower_bound=0.1, **SERVER)
flags.DEFINE_integer(
    "attempts", 3, "Attempts per CT if the server is busy, unreachable or too slow.", lower_bound=1,
    **SERVER,
)  # fmt: skip
flags.DEFINE_float(
    "wait_seconds", 2.0, "Wait before the second attempt; doubled before each further one.", lower_bound=0, **SERVER
)
flags.DEFINE_bool("check", False, "Only ask whether the server is ready.", **SERVER)
batch.define_output_flags(FLAGS, required=False)
app.require_unless("check", ("input", "output_dir"), FLAGS)


def main() -> int:
    """Segment every CT of --input on the server; return the exit code."""
    client = connect()
    if FLAGS.check:
        return check(client)
    app.check_output_folder("output_dir", FLAGS.output_dir)
    if (about := ask(client.about)) is None:
        return app.EXIT_SOME_FAILED
    return batch.run(
        FLAGS, lambda source: about["settings"], lambda waiting, writers: segment_all(client, waiting, about, writers)
    )


def connect() -> Client:
    """Return the client for --server."""
    from kits_tf.serving import client

    if FLAGS.server.startswith("grpc:"):
        runtime.load_tensorflow("cpu")  # its messages consist of TensorFlow's
    return client.connect(FLAGS.server, FLAGS.model, FLAGS.timeout_seconds)


def check(client: Client) -> int:
    """Print whether the server is ready and which weights it has; return the exit code."""

    def ready() -> dict[str, Any]:
        client.check_health()
        return client.about()

    about = ask(ready)
    if about is None:
        return app.EXIT_SOME_FAILED
    print(f"{FLAGS.server}: {FLAGS.model} is ready, checkpoint {about['checkpoint']}, kits-tf {about['version']}")
    return app.EXIT_DONE


def ask(question: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """Return the server's answer, or None after a line on stderr that says why there is none."""
    from kits_tf.serving.client import ServerError, retry

    try:
        return retry(question, FLAGS.attempts, FLAGS.wait_seconds)
    except ServerError as error:
        print(f"{FLAGS.server}: {error}", file=sys.stderr)
        return None


def segment_all(
    client: Client, waiting: Sequence[Input], about: Mapping[str, Any], writers: Sequence[Writer]
) -> Generator[Outcome, None, None]:
    """Segment CTs, several at once, and yield the outcomes."""
    from kits_tf.data.records import is_record
    from kits_tf.inference import jobs

    batch.print_notice(about["notice"])
    if any(is_record(source.path) for source in waiting):
        runtime.load_tensorflow("cpu")
    yield from jobs.run_all(lambda source, _: segment(client, source, about, writers), waiting, FLAGS.workers)


def segment(client: Client, source: Input, about: Mapping[str, Any], writers: Sequence[Writer]) -> Outcome:
    """Segment one CT on the server and write its outputs; InputError if the server returns no labels."""
    from kits_tf.inference import jobs, outputs
    from kits_tf.serving.client import ServerError, retry

    start = time.perf_counter()
    volume = source.read()
    seconds = {"read": time.perf_counter() - start}
    try:
        found = retry(lambda: client.segment(volume.hu, volume.spacing_mm), FLAGS.attempts, FLAGS.wait_seconds)
    except ServerError as error:
        raise InputError(source.where, error) from None
    seconds["request"] = time.perf_counter() - start - seconds["read"]
    sidecar = outputs.sidecar_of(
        source, volume, found.labels, about["settings"], found.sides, engine="server", seconds=seconds,
        checkpoint=about["checkpoint"], notice=about["notice"] or None,
    )  # fmt: skip
    case = outputs.Case(source, volume, found.labels, sidecar)
    return jobs.Outcome(source, sidecar, removed=outputs.write_case(case, pathlib.Path(FLAGS.output_dir), writers))


def run() -> None:
    """Run the console command kits-request."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
