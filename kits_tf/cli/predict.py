"""Segment CTs: kidney and tumor labels on each CT's own grid.

Example: kits-predict --input=scan.nii.gz --output_dir=labels
"""

from __future__ import annotations

import contextlib
import pathlib
import re
from typing import TYPE_CHECKING, Any

from absl import flags

from kits_tf import checkpoint, config, progress, runtime
from kits_tf.cli import app, batch
from kits_tf.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from kits_tf.inference.inputs import Input
    from kits_tf.inference.jobs import Job, Outcome
    from kits_tf.inference.outputs import Writer

FLAGS = flags.FlagValues()
INPUT, NETWORKS, OUTPUT = (app.group(FLAGS, name) for name in ("Input", "Networks", "Output"))

batch.define_input_flags(FLAGS)
flags.DEFINE_string(
    "roi", None, "Region of interest SLICES,ROWS,COLUMNS, each START:STOP from 0 along the axes I, P, L, such as "
    "20:80,:,0:256. Everything outside becomes background; the networks do not see slices outside.", **INPUT,
)  # fmt: skip
flags.DEFINE_string(
    "kidney_masks", None, "Folder of kidney masks (label > 0) for --stage=tumor, named like this command's output or "
    "in the KiTS19 layout.", **INPUT,
)  # fmt: skip
flags.DEFINE_multi_string(
    "checkpoint_dir", [checkpoint.DEFAULT], "A checkpoint folder or the name of released weights. Several, "
    "comma-separated or with the flag repeated, form an ensemble.", **NETWORKS,
)  # fmt: skip
flags.DEFINE_enum(
    "engine", "auto", config.ENGINES, "Inference engine; auto is the fastest that is installed.", **NETWORKS
)
app.define_device(FLAGS, "Networks")
flags.DEFINE_enum(
    "precision", "auto", config.ENGINE_PRECISIONS, "Precision of the networks; auto is bfloat16 where "
    "engine and processor support it natively.", **NETWORKS,
)  # fmt: skip
flags.DEFINE_enum("stage", "both", config.STAGES, "Segment kidneys, tumors in given kidneys, or both.", **NETWORKS)
flags.DEFINE_list("planes", list(config.PLANES), "Planes whose networks segment the kidneys.", **NETWORKS)
flags.DEFINE_enum(
    "fusion", None, config.FUSIONS, "How to fuse the planes; default: the checkpoint's own way.", **NETWORKS
)
flags.DEFINE_enum(
    "tta", "none", config.TEST_TIME_AUGMENTATIONS, "Test-time augmentation: average over the original input and "
    "copies shifted by fractions of a pooled pixel, or flipped.", **NETWORKS,
)  # fmt: skip
flags.DEFINE_integer("workers", 3, "CTs processed at once, if memory suffices.", lower_bound=1, **NETWORKS)
batch.define_output_flags(FLAGS)
flags.DEFINE_bool("probabilities", False, "Also write the probabilities of kidney and tumor.", **OUTPUT)


def main() -> int:
    """Segment every CT of --input; return the exit code."""
    batch.import_nibabel()
    from kits_tf.data.kits19 import PROBABILITY_SUFFIXES
    from kits_tf.inference import jobs

    check_flags()
    roi = parse_roi(FLAGS.roi)
    settings = run_settings(roi)
    probabilities = [PROBABILITY_SUFFIXES[stage] for stage in PROBABILITY_SUFFIXES if FLAGS.stage in (stage, "both")]
    return batch.run(
        FLAGS,
        lambda source: jobs.case_settings(settings, FLAGS.kidney_masks, source),
        lambda waiting, writers: segment(load_job(waiting, settings, roi, writers), waiting),
        probabilities if FLAGS.probabilities else [],
    )


def check_flags() -> None:
    """Raise UsageError for flags that contradict each other, or a missing folder."""
    masks = FLAGS.kidney_masks
    if (FLAGS.stage == "tumor") != (masks is not None):
        raise UsageError("kidney_masks", "must be given with --stage=tumor, and only there")
    if masks is None:
        return
    if not pathlib.Path(masks).is_dir():
        raise UsageError("kidney_masks", f"{masks}: no such folder")
    if pathlib.Path(masks).resolve() == pathlib.Path(FLAGS.output_dir).resolve():
        raise UsageError("kidney_masks", f"{masks} is also the output folder; the labels would replace the masks")
    for name in ("planes", "fusion"):
        if FLAGS[name].present:
            raise UsageError(name, "has no effect with --stage=tumor, which takes its kidneys from --kidney_masks")


def parse_roi(text: str | None) -> tuple[slice, ...] | None:
    """Return the region of interest that --roi describes, or None."""
    if text is None:
        return None
    if not re.fullmatch(r"\d*:\d*,\d*:\d*,\d*:\d*", text):
        raise UsageError("roi", f"must be SLICES,ROWS,COLUMNS, each START:STOP, such as 20:80,:,0:256, got {text!r}")
    return tuple(slice(*(int(number) if number else None for number in part.split(":"))) for part in text.split(","))


def checkpoints() -> list[str]:
    """Return the checkpoints of --checkpoint_dir, in order."""
    return [name for value in FLAGS.checkpoint_dir for name in value.split(",") if name]


def run_settings(roi: tuple[slice, ...] | None) -> dict[str, Any]:
    """Return the settings that determine the labels; this checks the weights even if all CTs are done."""
    from kits_tf.inference import outputs
    from kits_tf.inference.segmenter import checked_checkpoints, checked_planes

    planes = checked_planes(FLAGS.planes)
    text = ",".join(f"{part.start or 0}:{'' if part.stop is None else part.stop}" for part in roi) if roi else None
    try:
        folders = checked_checkpoints(checkpoints())
        return outputs.network_settings(folders, FLAGS.stage, planes, FLAGS.fusion, FLAGS.tta, text)
    except InputError as error:
        raise UsageError("checkpoint_dir", str(error)) from None


def load_job(
    waiting: Sequence[Input], settings: dict[str, Any], roi: tuple[slice, ...] | None, writers: Sequence[Writer]
) -> Job:
    """Return the job that the flags describe; print the notice of the weights."""
    from kits_tf.data.records import is_record
    from kits_tf.inference import engines, jobs, segmenter

    jobs.read_ahead(waiting[0], FLAGS.probabilities)
    engine = engines.resolve(FLAGS.engine, FLAGS.device)
    if engine == "tensorflow" or any(is_record(source.path) for source in waiting):
        runtime.load_tensorflow(FLAGS.device if engine == "tensorflow" else "cpu")
    loaded = segmenter.load_segmenter(
        checkpoints(), engine, FLAGS.planes, FLAGS.fusion, FLAGS.stage, FLAGS.precision, FLAGS.tta
    )
    batch.print_notice(loaded.notice)
    return jobs.Job(
        loaded, pathlib.Path(FLAGS.output_dir), ",".join(checkpoints()), settings, FLAGS.kidney_masks, roi,
        FLAGS.probabilities, writers,
    )  # fmt: skip


def segment(job: Job, waiting: Sequence[Input]) -> Generator[Outcome, None, None]:
    """Segment CTs, show their progress and yield the outcomes."""
    from kits_tf.inference import jobs

    with progress.shares(len(waiting), "Segmenting") as show:
        with contextlib.closing(jobs.segment_all(job, waiting, FLAGS.workers, show)) as outcomes:
            for outcome in outcomes:
                yield outcome
                show(outcome.source, 1.0)  # a failed one too


def run() -> None:
    """Run the console command kits-predict."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
