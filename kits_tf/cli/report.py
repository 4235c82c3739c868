"""Writes HTML pages about predictions: pictures, volumes, tumor sizes, and scores where references are given."""

import pathlib
import sys

from absl import flags

from kits_tf.cli import app
from kits_tf.errors import InputError, UsageError

FLAGS = flags.FlagValues()

flags.DEFINE_string("predictions", None, "Folder of predictions, or one label file.", required=True, flag_values=FLAGS)
flags.DEFINE_string(
    "images", None, "KiTS19-layout folder, folder of CTs, one CT, or a folder with DICOM series.", required=True,
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string("references", None, "KiTS19-layout folder, folder of label files, or one.", flag_values=FLAGS)
flags.DEFINE_string("output_dir", None, "Folder to write the pages to.", required=True, flag_values=FLAGS)
flags.DEFINE_list(
    "figure1", [], "Cases by id to draw as in the paper's Figure 1 (CT, reference, prediction; kidney grey, tumor "
    "white), into figure1.png; needs --references.", flag_values=FLAGS,
)  # fmt: skip


def main():
    """Writes a page for every prediction, and an index; returns the exit code."""
    from kits_tf import files
    from kits_tf.progress import progress
    from kits_tf.report import figures
    from kits_tf.report.index_page import index_page

    cases = find_cases()
    check_figure1(cases)
    figures.require_matplotlib()
    app.check_output_folder("output_dir", FLAGS.output_dir)
    output_dir = pathlib.Path(FLAGS.output_dir)
    pages, failed = {}, {}
    for name, paths in progress(cases.items(), "Writing pages", total=len(cases)):
        try:
            text, facts = build(name, *paths)
        except InputError as error:
            failed[name] = error
            continue
        pages[name] = (page_name(name), facts)
        files.write_text(output_dir / page_name(name), text)
    for error in failed.values():
        print(error, file=sys.stderr)
    drawn = [name for name in FLAGS.figure1 if name not in failed]
    if drawn:
        write_figure1(drawn, cases, output_dir / "figure1.png")
    shown = {name: f"{pathlib.Path(error.path).name}: {error.reason}" for name, error in failed.items()}
    files.write_text(output_dir / "index.html", index_page(pages, shown))
    index = output_dir / "index.html"
    where = f"begin with {index}" if pages else f"{index} says why"
    print(f"{len(pages)} of {len(cases)} pages written; {where}")
    return app.EXIT_SOME_FAILED if failed else app.EXIT_DONE


def find_cases():
    """{id: (prediction, image or None, reference or None)} of every prediction.

    All are paths, but an image may be a DICOM `Series`.

    Raises:
        UsageError: a folder is not there or holds nothing for any prediction.
    """
    from kits_tf.evaluation.matching import find_images, find_labels

    predictions = find_labels(pathlib.Path(FLAGS.predictions), "predictions")
    images = find_images(pathlib.Path(FLAGS.images))
    references = find_labels(pathlib.Path(FLAGS.references), "references") if FLAGS.references else {}
    if len(predictions) == 1 and is_one_ct(images):
        images = dict(zip(predictions, images.values(), strict=True))
    if len(predictions) == 1 and FLAGS.references and pathlib.Path(FLAGS.references).is_file():
        references = {next(iter(predictions)): pathlib.Path(FLAGS.references)}
    check_in_common("images", "CT", images, predictions)
    if FLAGS.references:
        check_in_common("references", "reference", references, predictions)
    return {name: (path, images.get(name), references.get(name)) for name, path in sorted(predictions.items())}


def is_one_ct(images):
    """Whether --images names one CT, whatever it is called: a file, or a folder with one DICOM series."""
    from kits_tf.io.dicom import Series

    return len(images) == 1 and (pathlib.Path(FLAGS.images).is_file() or isinstance(*images.values(), Series))


def check_in_common(flag, what, found, predictions):
    """Raises UsageError where CTs or references, {id: path or `Series`}, are none of those of the predictions."""
    from kits_tf.evaluation.matching import NAMING

    if not set(predictions) & set(found):
        raise UsageError(flag, f"{FLAGS[flag].value} holds no {what} of the predictions; {NAMING}")


def check_figure1(cases):
    """Raises UsageError where there are no references for --figure1, or a case of it is not there or has none."""
    if FLAGS.figure1 and not FLAGS.references:
        raise UsageError("figure1", "needs --references: a KiTS19-layout folder, a folder of label files, or one")
    for name in FLAGS.figure1:
        if name not in cases or cases[name][2] is None:
            known = ", ".join(name for name, paths in cases.items() if paths[2] is not None)
            raise UsageError("figure1", f"takes cases with a prediction and a reference ({known}); {name!r} is none")


def write_figure1(names, cases, path):
    """Draws cases as the paper's Figure 1; their files have been read before."""
    from kits_tf import files
    from kits_tf.report.figure1 import figure1
    from kits_tf.report.panels import Case

    drawn = {}
    for name in names:
        volume, prediction, reference = read(*cases[name])
        drawn[name] = Case(volume.hu, volume.spacing_mm, prediction, reference)
    with files.replacing(path) as temporary:
        temporary.write_bytes(figure1(drawn))
    print(f"{path} written")


def build(name, prediction_path, image, reference_path):
    """The page of one case and the numbers on it.

    Raises:
        InputError: a file cannot be read, the CT is missing, or their grids differ.
    """
    from kits_tf.evaluation.matching import read_sidecar
    from kits_tf.report.case_page import case_page

    volume, prediction, reference = read(prediction_path, image, reference_path)
    return case_page(name, volume, prediction, reference, read_sidecar(prediction_path))


def read(prediction_path, image, reference_path):
    """The `Volume`, the prediction and the reference (or None) of a case, as `find_cases` lists them.

    Raises:
        InputError: a file cannot be read, the CT is missing, or their grids differ.
    """
    from kits_tf.evaluation.matching import check_same_grid
    from kits_tf.io.volume import read_labels

    if image is None:
        raise InputError(prediction_path, "no CT for it in --images")
    volume = read_ct(image)
    prediction, grid = read_labels(prediction_path)
    check_same_grid(prediction_path, grid, volume.grid)
    reference = None
    if reference_path is not None:
        reference, grid = read_labels(reference_path)
        check_same_grid(reference_path, grid, volume.grid)
    return volume, prediction, reference


def read_ct(image):
    """The `Volume` of a NIfTI file or a DICOM `Series`."""
    from kits_tf.io import dicom, volume

    return dicom.read_series(image) if isinstance(image, dicom.Series) else volume.read_volume(image)


def page_name(name):
    """The file name of a case's page; the index keeps its own."""
    return f"{name}.html" if name.lower() != "index" else "index_case.html"


def run():
    """The console command kits-report."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
