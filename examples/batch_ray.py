"""Segment CTs on a Ray cluster, with the flags, files and messages of kits-predict.

Example: python examples/batch_ray.py --input=scans --output_dir=segmented --workers=2

Each worker is an actor of Ray Data that loads the networks once. Input and output must be on storage that all machines
see under the same path. Needs `pip install 'ray[data]'`.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Generator, Sequence
from typing import Any

import ray
from absl import flags

from kits_tf import checkpoint, config, runtime
from kits_tf.cli import app, batch
from kits_tf.errors import InputError, UsageError, one_line
from kits_tf.inference import jobs, outputs
from kits_tf.inference.inputs import Input
from kits_tf.inference.jobs import Outcome
from kits_tf.inference.outputs import Writer
from kits_tf.inference.segmenter import checked_checkpoints, load_segmenter

FLAGS = flags.FlagValues()
CLUSTER = app.group(FLAGS, "Cluster")

batch.define_input_flags(FLAGS)
flags.DEFINE_string(
    "checkpoint_dir", checkpoint.DEFAULT, "A checkpoint folder, or the name of released weights.", **CLUSTER
)
flags.DEFINE_enum("engine", "auto", config.ENGINES, "What runs the networks.", **CLUSTER)
flags.DEFINE_string("address", None, "Of a Ray cluster, such as auto; by default a local one is started.", **CLUSTER)
flags.DEFINE_integer("workers", 2, "Actors, each of which segments one CT at a time.", lower_bound=1, **CLUSTER)
flags.DEFINE_float("cpus", 1.0, "Processor cores that a worker reserves.", lower_bound=0.0, **CLUSTER)
flags.DEFINE_float("gpus", 0.0, "GPUs that a worker reserves.", lower_bound=0.0, **CLUSTER)
batch.define_output_flags(FLAGS)


class Worker:
    """An actor: loads the networks, then segments the CTs whose numbers it is given."""

    def __init__(
        self, checkpoint_dir: str, engine: str, output_dir: str, settings: dict[str, Any], writers: Sequence[Writer],
        sources: Sequence[Input],
    ) -> None:  # fmt: skip
        runtime.load_tensorflow()
        segmenter = load_segmenter(checkpoint_dir, engine)
        self.job = jobs.Job(segmenter, pathlib.Path(output_dir), checkpoint_dir, settings, writers=writers)
        self.sources = sources

    def __call__(self, row: dict[str, int]) -> dict[str, Any]:
        source = self.sources[row["id"]]
        outcome = jobs.attempt(source, lambda: jobs.segment(self.job, source))
        return {**row, "sidecar": json.dumps(outcome.sidecar), "reason": outcome.reason, "removed": outcome.removed}


def main() -> int:
    """Segment every CT of --input; return the exit code."""
    try:
        folders = checked_checkpoints(FLAGS.checkpoint_dir)
        settings = outputs.network_settings(folders, "both", config.PLANES, None, "none")
    except InputError as error:
        raise UsageError("checkpoint_dir", str(error)) from None
    return batch.run(
        FLAGS,
        lambda source: jobs.case_settings(settings, None, source),
        lambda waiting, writers: segment(waiting, settings, writers),
    )


def segment(
    waiting: Sequence[Input], settings: dict[str, Any], writers: Sequence[Writer]
) -> Generator[Outcome, None, None]:
    """Segment CTs on the cluster and yield the outcomes as they are done."""
    batch.print_notice(checkpoint.load_notice(checkpoint.find(FLAGS.checkpoint_dir)))
    if not ray.is_initialized():
        ray.init(FLAGS.address, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    numbers = ray.data.range(len(waiting), override_num_blocks=len(waiting))  # a block is what a worker is given
    rows = numbers.map(
        Worker,
        fn_constructor_args=(FLAGS.checkpoint_dir, FLAGS.engine, FLAGS.output_dir, settings, writers, waiting),
        compute=ray.data.ActorPoolStrategy(size=min(FLAGS.workers, len(waiting))),
        num_cpus=FLAGS.cpus,
        num_gpus=FLAGS.gpus,
    )
    left = dict(enumerate(waiting))
    try:
        for row in rows.iter_rows():
            yield Outcome(left.pop(row["id"]), json.loads(row["sidecar"]), row["reason"], row["removed"])
    except ray.exceptions.RayError as error:  # such as a worker that was killed again and again
        for source in left.values():
            yield Outcome(source, reason=f"{source.where}: {one_line(error)}")


if __name__ == "__main__":
    app.run(main, FLAGS)
