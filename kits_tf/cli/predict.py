"""Segments CTs: kidney and tumor labels on each CT's own grid."""

import contextlib
import pathlib
import sys

from kits_tf import quiet
from kits_tf.cli import app, outputs, predict_flags
from kits_tf.cli.predict_flags import FLAGS
from kits_tf.errors import InputError, UsageError


def main():
    """Segments every CT of --input; returns the exit code."""
    predict_flags.check()
    roi = predict_flags.roi()
    from kits_tf.inference import cases, inputs

    options = recorded_options(roi)
    sources = inputs.unique(inputs.find_inputs(FLAGS.input, FLAGS.series))
    if FLAGS.shard is not None:
        total, sources = len(sources), inputs.share_of(sources, FLAGS.shard)
        if not sources:
            print(f"part {FLAGS.shard} of {total} CTs has none")
    waiting, failed = left_to_do(sources, options)
    done = len(sources) - len(waiting) - len(failed)
    if done:
        print(f"{done} of {len(sources)} CTs are already written; --overwrite does them again")
    if waiting:
        outputs.check_folder("output_dir", FLAGS.output_dir)
        more = companions()
        task = cases.Task(
            segmenter=load_segmenter(waiting),
            output_dir=pathlib.Path(FLAGS.output_dir),
            checkpoint=",".join(predict_flags.checkpoints()),
            options=options,
            kidney_masks=FLAGS.kidney_masks,
            roi=roi,
            probabilities=FLAGS.probabilities,
            companions=tuple(more),
        )
        failed |= segment(task, waiting)
    if len(sources) > 1 or (FLAGS.shard and sources):
        summarize(sources, waiting, failed)
    return 1 if failed else 0


def recorded_options(roi):
    """What the flags say that decides the labels; it takes the weights, which thus are looked at even if none run."""
    from kits_tf import checkpoint
    from kits_tf.inference import options

    try:
        folders = [checkpoint.find(name) for name in predict_flags.checkpoints()]
        return options.recorded(folders, FLAGS.stage, FLAGS.planes, FLAGS.fusion, FLAGS.tta, roi, FLAGS.kidney_masks)
    except InputError as error:
        raise UsageError("checkpoint_dir", str(error)) from None


def left_to_do(sources, options):
    """The CTs that are not written yet, and {output name: reason} of those that must not be, each said in a line."""
    from kits_tf.inference import written

    waiting, refused, wanted = [], {}, beside()
    for source in sources:
        try:
            if FLAGS.overwrite or not written.is_done(source, FLAGS.output_dir, options, wanted):
                waiting.append(source)
        except InputError as error:
            refused[source.output_name] = str(error)
            print(error, file=sys.stderr, flush=True)
    return waiting, refused


def beside():
    """Suffixes of what the flags want beside each label file."""
    from kits_tf.dataset.kits19 import PROBABILITY_SUFFIXES
    from kits_tf.report import viewers

    wanted = [".html"] if FLAGS.report else []
    wanted += [viewers.SLICER_SUFFIX, viewers.SNAP_SUFFIX] if FLAGS.viewer_files else []
    if FLAGS.probabilities:
        wanted += [suffix for stage, suffix in PROBABILITY_SUFFIXES.items() if FLAGS.stage in (stage, "both")]
    return wanted


def load_segmenter(sources):
    """The segmenter that the flags ask for."""
    from kits_tf.dataset import prepared
    from kits_tf.inference import engines

    if engines.resolve(FLAGS.engine) == "tensorflow" or any(prepared.is_record(source.path) for source in sources):
        quiet.load_tensorflow()
    from kits_tf.inference.segmenter import load_segmenter

    try:
        return load_segmenter(
            predict_flags.checkpoints(), FLAGS.engine, FLAGS.planes, FLAGS.fusion, FLAGS.stage,
            FLAGS.engine_precision, FLAGS.tta,
        )  # fmt: skip
    except InputError as error:
        raise UsageError("checkpoint_dir", str(error)) from None


def companions():
    """What the flags want written beside the labels, as functions for `cases.Task`."""
    from kits_tf.report import figures, viewers

    found = []
    if FLAGS.report:
        figures.require_matplotlib("report")
        found.append(write_page)
    if FLAGS.viewer_files:
        found.append(lambda path, *_: viewers.write(path))
    return found


def write_page(path, source, volume, labels, summary):
    """Writes the page of `kits-report` beside a label file: the same name with `.html`."""
    from kits_tf import files, nifti
    from kits_tf.inference.cases import companion
    from kits_tf.report.case_page import case_page

    name = nifti.stem(pathlib.PurePath(source.name))
    files.write_text(companion(path, ".html"), case_page(name, volume, labels, summary=summary)[0])


def segment(task, waiting):
    """Segments CTs and prints a line about each; returns {output name: reason} of those that failed."""
    from kits_tf.inference import memory, pool

    total_bytes = FLAGS.memory_gb * memory.GB if FLAGS.memory_gb else memory.SHARE * memory.free_bytes()
    failed = {}
    with predict_progress(len(waiting)) as progress:
        outcomes = pool.segment_all(task, waiting, FLAGS.workers, total_bytes, progress)
        with contextlib.closing(outcomes):
            for number, outcome in enumerate(outcomes, 1):
                say(f"[{number}/{len(waiting)}]", outcome)
                progress(outcome.source.output_name, 1.0)  # one that failed is over too
                if outcome.reason:
                    failed[outcome.source.output_name] = outcome.reason
    return failed


def say(position, outcome):
    """Prints a line about what became of a CT: on stdout, or on stderr if it failed."""
    if outcome.reason:
        print(f"{position} {outcome.reason}", file=sys.stderr, flush=True)
        return
    found = outcome.summary
    for warning in found["warnings"]:
        print(f"{outcome.source.where}: warning: {warning}", file=sys.stderr, flush=True)
    tumor = "" if found["tumor_ml"] is None else f"tumor {found['tumor_ml']:.1f} ml, "
    print(
        f"{position} {outcome.source.output_name}: kidney {found['kidney_ml']:.1f} ml, {tumor}"
        f"{found['seconds']['total']:.1f} s",
        flush=True,
    )


def predict_progress(count):
    """A bar on a terminal, plain lines in a log; yields a function of (output's name, share done)."""
    from kits_tf.progress import shares

    return shares(count, "Segmenting")


def summarize(sources, waiting, failed):
    """Prints a table of all CTs and writes it as CSV, each shard's under its own name.

    A CSV that is there already stays where nothing was left to do.
    """
    from kits_tf.inference import summary

    rows, done_now = [], {source.output_name for source in waiting}
    for source in sources:
        status = "written" if source.output_name in done_now else "already written"
        status = "failed" if source.output_name in failed else status
        rows.append(summary.row(source, FLAGS.output_dir, status, failed.get(source.output_name, "")))
    name = f"summary_{FLAGS.shard.replace('/', '_of_')}.csv" if FLAGS.shard else "summary.csv"
    path = pathlib.Path(FLAGS.output_dir) / name
    if waiting or failed or not path.is_file():
        summary.write_csv(rows, path)
    print("\n".join(summary.lines(rows)))


def run():
    """The console command kits-predict."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
