"""Segments CTs: kidney and tumor labels on each CT's own grid."""

import contextlib
import pathlib
import sys

from kits_tf import runtime
from kits_tf.cli import app, predict_companions, predict_flags
from kits_tf.cli.predict_flags import FLAGS
from kits_tf.errors import InputError, UsageError


def main():
    """Segments every CT of --input; returns the exit code."""
    predict_flags.check()
    roi = predict_flags.roi()
    from kits_tf.inference import inputs

    options = recorded_options(roi)
    sources = inputs.unique(inputs.find_inputs(FLAGS.input, FLAGS.series))
    if FLAGS.shard is not None:
        total, sources = len(sources), inputs.share_of(sources, FLAGS.shard)
        if not sources:
            print(f"part {FLAGS.shard} of {total} CTs has none")
    waiting, incomplete, failed = left_to_do(sources, options)
    done = len(sources) - len(waiting) - len(incomplete) - len(failed)
    if done:
        print(f"{done} of {len(sources)} CTs are already written; --overwrite does them again")
    if waiting or incomplete:
        app.check_output_folder("output_dir", FLAGS.output_dir)
        predict_companions.check()
    failed |= predict_companions.complete(incomplete)
    if waiting:
        failed |= segment(task(waiting, options, roi), waiting)
    tells = len(sources) > 1 or (FLAGS.shard and sources)
    told = summarize(sources, waiting, failed) if tells else True
    return 1 if failed or not told else 0


def recorded_options(roi):
    """What the flags say that decides the labels; it takes the weights, which thus are looked at even if none run."""
    from kits_tf import checkpoint
    from kits_tf.inference import ensemble, options

    try:
        folders = [checkpoint.find(name) for name in predict_flags.checkpoints()]
        ensemble.check_different(folders)
        return options.recorded(folders, FLAGS.stage, FLAGS.planes, FLAGS.fusion, FLAGS.tta, roi)
    except InputError as error:
        raise UsageError("checkpoint_dir", str(error)) from None


def left_to_do(sources, options):
    """What of the CTs is not written yet, and what must not be.

    Returns:
        A list of the Inputs to segment; a list of (Input, suffixes) of those whose labels are there and lack something
        beside them that takes no network; {output name: reason} of those that must not be written, each said in a
        line.
    """
    from kits_tf.inference import written

    waiting, incomplete, refused = [], [], {}
    suffixes = predict_companions.wanted(), predict_companions.probabilities()
    for source in sources:
        try:
            lacking = None
            if not FLAGS.overwrite:
                lacking = written.lacking(source, FLAGS.output_dir, options, FLAGS.kidney_masks, *suffixes)
        except InputError as error:
            refused[source.output_name] = str(error)
            print(error, file=sys.stderr, flush=True)
            continue
        if lacking is None:
            waiting.append(source)
        elif lacking:
            incomplete.append((source, lacking))
    return waiting, incomplete, refused


def task(waiting, options, roi):
    """What is done with each CT to segment, as the flags have it."""
    from kits_tf.inference import cases

    return cases.Task(
        segmenter=load_segmenter(waiting),
        output_dir=pathlib.Path(FLAGS.output_dir),
        checkpoint=",".join(predict_flags.checkpoints()),
        options=options,
        kidney_masks=FLAGS.kidney_masks,
        roi=roi,
        probabilities=FLAGS.probabilities,
        writers=tuple(dict.fromkeys(predict_companions.writers().values())),
    )


def load_segmenter(sources):
    """The segmenter that the flags ask for."""
    from kits_tf.data.records import is_record
    from kits_tf.inference import engines

    if engines.resolve(FLAGS.engine) == "tensorflow" or any(is_record(source.path) for source in sources):
        runtime.load_tensorflow()
    from kits_tf.inference.segmenter import load_segmenter

    try:
        return load_segmenter(
            predict_flags.checkpoints(), FLAGS.engine, FLAGS.planes, FLAGS.fusion, FLAGS.stage,
            FLAGS.engine_precision, FLAGS.tta,
        )  # fmt: skip
    except InputError as error:
        raise UsageError("checkpoint_dir", str(error)) from None


def segment(task, waiting):
    """Segments CTs and prints a line about each; returns {output name: reason} of those that failed."""
    from kits_tf.inference import memory, pool

    total_bytes = FLAGS.memory_gb * memory.GB if FLAGS.memory_gb else memory.SHARE * memory.free_bytes()
    failed, superseded = {}, predict_companions.superseded(waiting)
    with predict_progress(len(waiting)) as progress:
        outcomes = pool.segment_all(task, waiting, FLAGS.workers, total_bytes, progress)
        with contextlib.closing(outcomes):
            for number, outcome in enumerate(outcomes, 1):
                say(f"[{number}/{len(waiting)}]", outcome, superseded[outcome.source.output_name])
                progress(outcome.source.output_name, 1.0)  # one that failed is over too
                if outcome.reason:
                    failed[outcome.source.output_name] = outcome.reason
    return failed


def say(position, outcome, superseded):
    """Prints a line about what became of a CT: on stdout, or on stderr if it failed.

    Args:
        position: such as "[3/10]".
        outcome: a `pool.Outcome`.
        superseded: names of files that were removed with the labels before.
    """
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
    if superseded:
        print(f"{outcome.source.output_name}: removed {', '.join(superseded)}, of the labels before", flush=True)


def predict_progress(count):
    """A bar on a terminal, plain lines in a log; yields a function of (output's name, share done)."""
    from kits_tf.progress import shares

    return shares(count, "Segmenting")


def summarize(sources, waiting, failed):
    """Prints a table of all CTs and writes it as CSV, each shard's under its own name.

    A CSV that is there already and tells the same stays.

    Returns:
        Whether the CSV is there; where it cannot be written, a line says why.
    """
    from kits_tf.inference import summary

    rows, done_now = [], {source.output_name for source in waiting}
    for source in sources:
        status = "written" if source.output_name in done_now else "already written"
        status = "failed" if source.output_name in failed else status
        rows.append(summary.row(source, FLAGS.output_dir, status, failed.get(source.output_name, "")))
    name = f"summary_{FLAGS.shard.replace('/', '_of_')}.csv" if FLAGS.shard else "summary.csv"
    path = pathlib.Path(FLAGS.output_dir) / name
    print("\n".join(summary.lines(rows)))
    try:
        if waiting or not summary.tells(path, rows):
            summary.write_csv(rows, path)
    except OSError as error:
        print(f"{path}: {error.strerror}", file=sys.stderr, flush=True)
        return False
    return True


def run():
    """The console command kits-predict."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
