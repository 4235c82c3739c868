"""Segments CTs: kidney and tumor labels on each CT's own grid."""

import contextlib
import pathlib
import sys

from absl import flags

from kits_tf.cli import app
from kits_tf.config import PLANES
from kits_tf.errors import InputError, UsageError

FLAGS = flags.FlagValues()

flags.DEFINE_string(
    "input",
    None,
    "A NIfTI file, a folder of NIfTI files, a case folder, a KiTS19-layout folder, a prepared folder, or the folder "
    "of a DICOM series, which yields a DICOM SEG too.",
    required=True,
    flag_values=FLAGS,
)
flags.DEFINE_string("output_dir", None, "Folder to write labels and JSON to.", required=True, flag_values=FLAGS)
flags.DEFINE_string(
    "checkpoint_dir", "phantom", "A checkpoint folder, or the name of released weights.", flag_values=FLAGS
)
flags.DEFINE_enum("engine", "auto", ["auto", "tensorflow", "openvino"], "What runs the networks.", flag_values=FLAGS)
flags.DEFINE_enum(
    "stage", "both", ["both", "kidney", "tumor"], "Kidney alone, tumor alone (see --kidney_masks), or both.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "kidney_masks", None, "Folder of kidney masks (label > 0) for --stage=tumor, named as this command's output or in "
    "the KiTS19 layout.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_list("planes", list(PLANES), "The planes whose networks find the kidney.", flag_values=FLAGS)
flags.DEFINE_enum(
    "fusion", "union", ["union", "majority", "mean"], "How the planes' masks become one.", flag_values=FLAGS
)
flags.DEFINE_string(
    "series", None, "Which of several DICOM series of a folder: Series Number or Series Instance UID.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_bool("report", False, "Write the page of kits-report beside each label file.", flag_values=FLAGS)
flags.DEFINE_bool(
    "viewer_files", False, "Write names and colors of the labels for 3D Slicer and ITK-SNAP beside them.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_bool("overwrite", False, "Segment cases again that are already written.", flag_values=FLAGS)

flags.register_validator(
    "planes",
    lambda planes: planes and set(planes) <= set(PLANES) and len(set(planes)) == len(planes),
    message=f"takes one or more of {','.join(PLANES)}, each once",
    flag_values=FLAGS,
)


def main():
    """Segments every CT of --input; returns the exit code."""
    if (FLAGS.stage == "tumor") != (FLAGS.kidney_masks is not None):
        raise UsageError("kidney_masks", "takes a folder, with --stage=tumor and only there")
    if FLAGS.kidney_masks and not pathlib.Path(FLAGS.kidney_masks).is_dir():
        raise UsageError("kidney_masks", f"{FLAGS.kidney_masks}: no such folder")
    if pathlib.Path(FLAGS.output_dir).is_file():
        raise UsageError("output_dir", f"{FLAGS.output_dir} is a file; takes a folder")
    from kits_tf.inference import cases, inputs

    sources = unique(inputs.find_inputs(FLAGS.input, FLAGS.series))
    waiting = [s for s in sources if FLAGS.overwrite or not cases.is_done(s, FLAGS.output_dir)]
    if len(waiting) < len(sources):
        print(f"{len(sources) - len(waiting)} of {len(sources)} CTs are already written; --overwrite does them again")
    if not waiting:
        return 0
    more = companions()
    segmenter = load_segmenter()
    failed = sum(not segment(segmenter, source, f"[{i}/{len(waiting)}]", more) for i, source in enumerate(waiting, 1))
    return 1 if failed else 0


def unique(sources):
    """The inputs, or a UsageError if two would write the same file."""
    by_name = {}
    for source in sources:
        other = by_name.setdefault(source.output_name, source)
        if other is not source:
            raise UsageError("input", f"{other.path} and {source.path} would both be written as {source.output_name}")
    return sources


def load_segmenter():
    """The segmenter that the flags ask for."""
    app.load_tensorflow()
    from kits_tf.inference.segmenter import load_segmenter

    try:
        return load_segmenter(FLAGS.checkpoint_dir, FLAGS.engine, FLAGS.planes, FLAGS.fusion, FLAGS.stage)
    except InputError as error:
        raise UsageError("checkpoint_dir", str(error)) from None


def companions():
    """What the flags want written beside the labels, as functions for `cases.segment_file`."""
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
    from kits_tf import files
    from kits_tf.inference.cases import companion
    from kits_tf.report.case_page import case_page

    name = source.name.removesuffix(".gz").removesuffix(".nii")
    files.write_text(companion(path, ".html"), case_page(name, volume, labels, summary=summary)[0])


def segment(segmenter, source, position, more):
    """Segments one CT and prints a line about it; returns whether it went well."""
    from kits_tf.inference import cases

    try:
        with progress_bar(f"{position} {source.name}") as progress:
            summary = cases.segment_file(
                segmenter, source, FLAGS.output_dir, FLAGS.checkpoint_dir, FLAGS.kidney_masks, progress, more
            )
    except (InputError, MemoryError) as error:
        where = source.series.where if source.series else source.path
        reason = f"{where}: not enough memory" if isinstance(error, MemoryError) else error
        print(f"{position} {reason}", file=sys.stderr)
        return False
    print(
        f"{position} {source.output_name}: kidney {summary['kidney_ml']:.1f} ml, tumor {summary['tumor_ml']:.1f} ml, "
        f"{summary['seconds']['total']:.1f} s"
    )
    return True


@contextlib.contextmanager
def progress_bar(description):
    """A bar on a terminal; yields a function that takes the share done, 0 to 1."""
    from tqdm import tqdm

    with tqdm(total=100, desc=description, unit="%", leave=False, disable=not sys.stderr.isatty()) as bar:
        yield lambda share: bar.update(int(100 * share) - bar.n)


def run():
    """The console command kits-predict."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
