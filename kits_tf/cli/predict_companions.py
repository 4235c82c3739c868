"""What kits-predict writes beside its labels where it is asked to: a page, files for viewers, probabilities."""

import functools
import pathlib
import sys

from kits_tf.cli.predict_flags import FLAGS


def wanted():
    """Suffixes of what the flags want beside each label file."""
    return [*writers(), *probabilities()]


def probabilities():
    """Suffixes of the probabilities that the flags want."""
    from kits_tf.data.kits19 import PROBABILITY_SUFFIXES

    stages = [stage for stage in PROBABILITY_SUFFIXES if FLAGS.stage in (stage, "both")]
    return [PROBABILITY_SUFFIXES[stage] for stage in stages] if FLAGS.probabilities else []


def writers():
    """{suffix: function of (label file, `companions.Case`)} of what needs no network."""
    from kits_tf.inference.companions import PAGE_SUFFIX
    from kits_tf.report import viewers

    found = {PAGE_SUFFIX: write_page} if FLAGS.report else {}
    if FLAGS.viewer_files:
        found |= dict.fromkeys((viewers.SLICER_SUFFIX, viewers.SNAP_SUFFIX), write_viewer_files)
    return found


def check():
    """Raises a UsageError where a library is missing for what the flags want."""
    from kits_tf.report import figures

    if FLAGS.report:
        figures.require_matplotlib("report")


def superseded(sources):
    """{output name: names of the files} that lie beside labels and go with them when they are written again."""
    from kits_tf.inference import companions

    folder, again = pathlib.Path(FLAGS.output_dir), wanted()
    return {
        source.output_name: companions.superseded(folder / source.output_name, source, again) for source in sources
    }


def complete(incomplete):
    """Writes what is lacking beside labels that are there; returns {output name: reason} of failures.

    Args:
        incomplete: list of (Input, suffixes).
    """
    if not incomplete:
        return {}
    from kits_tf.inference import completion, pool
    from kits_tf.progress import progress

    failed, folder, asked = {}, pathlib.Path(FLAGS.output_dir), writers()
    for source, suffixes in progress(incomplete, "Completing"):
        path = folder / source.output_name
        outcome = pool.attempt(functools.partial(completion.complete, path, suffixes, asked), source, folder)
        if outcome.reason:
            failed[source.output_name] = outcome.reason
            print(outcome.reason, file=sys.stderr, flush=True)
    print(f"{len(incomplete) - len(failed)} of {len(incomplete)} CTs got what was lacking beside their labels")
    return failed


def write_page(path, case):
    """Writes the page of `kits-report` beside a label file."""
    from kits_tf import files
    from kits_tf.inference.companions import PAGE_SUFFIX, companion
    from kits_tf.io import nifti
    from kits_tf.report.case_page import case_page

    name = nifti.stem(pathlib.PurePath(case.source.name))
    page, _ = case_page(name, case.volume, case.labels, summary=case.summary)
    files.write_text(companion(path, PAGE_SUFFIX), page)


def write_viewer_files(path, case):
    """Writes names and colors of the labels beside a label file."""
    from kits_tf.report import viewers

    viewers.write(path)
