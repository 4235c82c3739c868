"""Segment CTs: kidney and tumor labels on each CT's own grid.

Example: kits-predict --input=scan.nii.gz --output_dir=labels
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from kits_tf import checkpoint, config, progress, runtime
from kits_tf.cli import app
from kits_tf.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kits_tf.inference.inputs import Input
    from kits_tf.inference.jobs import Job, Outcome
    from kits_tf.inference.outputs import Case, Writer

FLAGS = flags.FlagValues()
_INPUT: dict[str, Any] = {"flag_values": FLAGS, "module_name": "Input"}
_NETWORKS: dict[str, Any] = {"flag_values": FLAGS, "module_name": "Networks"}
_OUTPUT: dict[str, Any] = {"flag_values": FLAGS, "module_name": "Output"}

flags.DEFINE_string(
    "input", None, "A NIfTI file, a DICOM series, a prepared folder, or any tree of these; or a .txt file that lists "
    "such paths, one a line.", required=True, **_INPUT,
)  # fmt: skip
flags.DEFINE_string("series", None, "Only the DICOM series of this Series Number or Series Instance UID.", **_INPUT)
flags.DEFINE_string("shard", None, "I/N: only the I-th of N parts of the CTs, for N machines at once.", **_INPUT)
flags.DEFINE_string(
    "roi", None, "Region of interest SLICES,ROWS,COLUMNS, each START:STOP from 0 in the order I,P,L, such as "
    "20:80,:,0:256; slices outside are not looked at, other voxels outside are background.", **_INPUT,
)  # fmt: skip
flags.DEFINE_string(
    "kidney_masks", None, "Folder of kidney masks (label > 0) for --stage=tumor, named as this command's output or in "
    "the KiTS19 layout.", **_INPUT,
)  # fmt: skip
flags.DEFINE_multi_string(
    "checkpoint_dir", [checkpoint.DEFAULT], "A checkpoint folder or the name of released weights; several, "
    "comma-separated or by repeating the flag, are averaged.", **_NETWORKS,
)  # fmt: skip
flags.DEFINE_enum("engine", "auto", config.ENGINES, "What runs the networks; auto is the fastest.", **_NETWORKS)
app.define_device(FLAGS, "Networks")
flags.DEFINE_enum(
    "precision", "auto", config.ENGINE_PRECISIONS, "What networks compute in; auto is bfloat16 where engine "
    "and processor do so natively.", **_NETWORKS,
)  # fmt: skip
flags.DEFINE_enum("stage", "both", config.STAGES, "Kidney alone, tumor alone, or both.", **_NETWORKS)
flags.DEFINE_list("planes", list(config.PLANES), "The planes whose networks find the kidney.", **_NETWORKS)
flags.DEFINE_enum(
    "fusion", None, config.FUSIONS, "How planes are fused; default: as the checkpoint says.", **_NETWORKS
)
flags.DEFINE_enum(
    "tta", "none", config.TEST_TIME_AUGMENTATIONS, "Test-time augmentation: average over the input shifted by parts "
    "of a pooled pixel, or flipped.", **_NETWORKS,
)  # fmt: skip
flags.DEFINE_integer("workers", 3, "CTs in work at once, if memory suffices.", lower_bound=1, **_NETWORKS)
flags.DEFINE_string("output_dir", None, "Folder to write labels and JSON sidecars to.", required=True, **_OUTPUT)
flags.DEFINE_bool("overwrite", False, "Replace labels that are there.", **_OUTPUT)
flags.DEFINE_bool("probabilities", False, "Write the probabilities of kidney and tumor too.", **_OUTPUT)
flags.DEFINE_bool("report", False, "Write the page of kits-report beside each label file.", **_OUTPUT)
flags.DEFINE_bool(
    "viewer_files", False, "Write names and colors of the labels for 3D Slicer and ITK-SNAP too.", **_OUTPUT
)


def main() -> int:
    """Segment every CT of --input; return the exit code."""
    from kits_tf.inference import inputs, outputs

    check_flags()
    roi = parse_roi(FLAGS.roi)
    settings = run_settings(roi)
    found = inputs.find_inputs(FLAGS.input, FLAGS.series)
    if found.skipped:
        more = f" and {len(found.skipped) - 5} more" if len(found.skipped) > 5 else ""
        print(f"skipped (not a CT): {', '.join(found.skipped[:5])}{more}")
    sources = found.inputs if FLAGS.shard is None else inputs.share_of(found.inputs, FLAGS.shard)
    if not sources:
        print(f"part {FLAGS.shard} of {len(found.inputs)} CTs has none")
    waiting, reasons = left_to_do(sources, is_written(settings), FLAGS.overwrite)
    if waiting:
        app.check_output_folder("output_dir", FLAGS.output_dir)
        if FLAGS.report:
            from kits_tf.report import pages

            pages.require_libraries("report")
        job = load_job(waiting, settings, roi)
        if job.segmenter.notice:
            print(f"notice: {job.segmenter.notice}", file=sys.stderr, flush=True)
        reasons |= segment(job, waiting)
    if len(sources) > 1 or (FLAGS.shard and sources):
        name = f"summary_{FLAGS.shard.replace('/', '_of_')}.csv" if FLAGS.shard else "summary.csv"
        print(outputs.write_summary(sources, reasons, pathlib.Path(FLAGS.output_dir) / name))
    return app.EXIT_SOME_FAILED if reasons else app.EXIT_DONE


def check_flags() -> None:
    """Raise UsageError for flags that do not go together or name no folder."""
    masks = FLAGS.kidney_masks
    if (FLAGS.stage == "tumor") != (masks is not None):
        raise UsageError("kidney_masks", "must be given with --stage=tumor, and only there")
    if masks is None:
        return
    if not masks or not pathlib.Path(masks).is_dir():
        raise UsageError("kidney_masks", f"{masks}: no such folder")
    if pathlib.Path(masks).resolve() == pathlib.Path(FLAGS.output_dir).resolve():
        raise UsageError("kidney_masks", f"{masks} is the output folder too, where labels would replace the masks")
    for name in ("planes", "fusion"):
        if FLAGS[name].present:
            raise UsageError(name, "has no effect with --stage=tumor, whose kidneys are those of --kidney_masks")


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
    """Return the settings that decide the labels; this reads the weights even if no network runs."""
    from kits_tf.inference import outputs
    from kits_tf.inference.segmenter import checked_checkpoints, checked_planes

    planes = checked_planes(FLAGS.planes)
    text = ",".join(f"{part.start or 0}:{'' if part.stop is None else part.stop}" for part in roi) if roi else None
    try:
        folders = checked_checkpoints(checkpoints())
        return outputs.network_settings(folders, FLAGS.stage, planes, FLAGS.fusion, FLAGS.tta, text)
    except InputError as error:
        raise UsageError("checkpoint_dir", str(error)) from None


def writers() -> dict[str, Writer]:
    """Return the writers of the files that the flags want beside the labels, by suffix."""
    from kits_tf.inference.outputs import PAGE_SUFFIX, beside
    from kits_tf.io import nifti
    from kits_tf.report import viewers

    def write_page(path: pathlib.Path, case: Case) -> None:
        from kits_tf.report import pages

        name = nifti.stem(pathlib.PurePath(case.source.name))
        pages.write_case_page(beside(path, PAGE_SUFFIX), name, case.volume, case.labels, case.sidecar)

    found: dict[str, Writer] = {PAGE_SUFFIX: write_page} if FLAGS.report else {}
    return found | ({viewers.SLICER_SUFFIX: lambda path, case: viewers.write(path)} if FLAGS.viewer_files else {})


def is_written(settings: dict[str, Any]) -> Callable[[Input], bool]:
    """Return a function of a CT: whether all outputs that the flags ask for are there; see `outputs.is_done`."""
    from kits_tf.data.kits19 import PROBABILITY_SUFFIXES
    from kits_tf.inference import jobs, outputs

    suffixes = list(writers())
    if FLAGS.probabilities:
        suffixes += [suffix for stage, suffix in PROBABILITY_SUFFIXES.items() if FLAGS.stage in (stage, "both")]

    def is_done(source: Input) -> bool:
        of_case = jobs.case_settings(settings, FLAGS.kidney_masks, source)
        return outputs.is_done(source, FLAGS.output_dir, of_case, suffixes)

    return is_done


def left_to_do(
    sources: Sequence[Input], is_done: Callable[[Input], bool], overwrite: bool
) -> tuple[list[Input], dict[Input, str]]:
    """Return the CTs that are not done, and the reasons why others must not be replaced; print one line for each."""
    waiting, refused = [], {}
    for source in sources:
        try:
            if overwrite or source.fault or not is_done(source):
                waiting.append(source)
        except InputError as error:
            refused[source] = str(error)
            print(error, file=sys.stderr, flush=True)
    if done := len(sources) - len(waiting) - len(refused):
        print(f"{done} of {len(sources)} CTs are already written; --overwrite segments them again")
    return waiting, refused


def load_job(waiting: Sequence[Input], settings: dict[str, Any], roi: tuple[slice, ...] | None) -> Job:
    """Return the job that the flags describe."""
    from kits_tf.data.records import is_record
    from kits_tf.inference import engines, jobs, segmenter

    engine = engines.resolve(FLAGS.engine, FLAGS.device)
    if engine == "tensorflow" or any(is_record(source.path) for source in waiting):
        runtime.load_tensorflow(FLAGS.device if engine == "tensorflow" else "cpu")
    loaded = segmenter.load_segmenter(
        checkpoints(), engine, FLAGS.planes, FLAGS.fusion, FLAGS.stage, FLAGS.precision, FLAGS.tta
    )
    return jobs.Job(
        loaded, pathlib.Path(FLAGS.output_dir), ",".join(checkpoints()), settings, FLAGS.kidney_masks, roi,
        FLAGS.probabilities, list(writers().values()),
    )  # fmt: skip


def segment(job: Job, waiting: Sequence[Input]) -> dict[Input, str]:
    """Segment CTs, print a line about each and return why some failed."""
    from kits_tf.inference import jobs

    reasons = {}
    with progress.shares(len(waiting), "Segmenting") as show:
        with contextlib.closing(jobs.segment_all(job, waiting, FLAGS.workers, show)) as running:
            for number, outcome in enumerate(running, 1):
                print_outcome(f"[{number}/{len(waiting)}]", outcome)
                show(outcome.source, 1.0)  # a failed one too
                if outcome.reason:
                    reasons[outcome.source] = outcome.reason
    return reasons


def print_outcome(position: str, outcome: Outcome) -> None:
    """Print a line about what became of a CT, on stderr if it failed; warnings come before it."""
    if outcome.reason:
        print(f"{position} {outcome.reason}", file=sys.stderr, flush=True)
        return
    found, name = outcome.sidecar, outcome.source.output_name
    for warning in found["warnings"]:
        print(f"{outcome.source.where}: warning: {warning}", file=sys.stderr, flush=True)
    tumor = "" if found["tumor_ml"] is None else f"tumor {found['tumor_ml']:.1f} ml, "
    removed = f"; removed {', '.join(outcome.removed)}, of the labels before" if outcome.removed else ""
    seconds = found["seconds"]["total"]
    print(f"{position} {name}: kidney {found['kidney_ml']:.1f} ml, {tumor}{seconds:.1f} s{removed}", flush=True)


def run() -> None:
    """Run the console command kits-predict."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
