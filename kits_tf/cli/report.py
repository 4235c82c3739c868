"""Write HTML pages on predictions: pictures, volumes, tumor sizes and, with references, scores and errors.

Example: kits-report --predictions=out --images=kits19/data --references=kits19/data --output_dir=report
"""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from kits_tf.cli import app
from kits_tf.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from kits_tf.io.volume import Volume
    from kits_tf.report.pages import CasePage

FLAGS = flags.FlagValues()
_INPUT: dict[str, Any] = {"flag_values": FLAGS, "module_name": "Input"}
_OUTPUT: dict[str, Any] = {"flag_values": FLAGS, "module_name": "Output"}

flags.DEFINE_string("predictions", None, "Folder of predictions, or one label file.", required=True, **_INPUT)
flags.DEFINE_string(
    "images",
    None,
    "KiTS19-layout folder, folder of CTs, one CT, or a folder with DICOM series.",
    required=True,
    **_INPUT,
)
flags.DEFINE_string("references", None, "KiTS19-layout folder, folder of label files, or one label file.", **_INPUT)
flags.DEFINE_string("output_dir", None, "Folder for the pages.", required=True, **_OUTPUT)
flags.DEFINE_list(
    "figure1", [], "Cases to draw as in the paper's Figure 1 (CT, reference, prediction) in figure1.png; requires "
    "--references.", **_OUTPUT,
)  # fmt: skip

Case = tuple[pathlib.Path, Any, pathlib.Path | None]
"""Prediction, CT (a path or a DICOM series; None if there is none) and reference."""


def main() -> int:
    """Write a page for every prediction, and an index; return the exit code."""
    from kits_tf import files
    from kits_tf.evaluation.matching import read_sidecar
    from kits_tf.progress import progress
    from kits_tf.report import pages

    pages.require_libraries("output_dir")
    cases = find_cases()
    check_figure1(cases)
    app.check_output_folder("output_dir", FLAGS.output_dir)
    output_dir = pathlib.Path(FLAGS.output_dir)
    rows: dict[str, Any] = {}
    failed: dict[str, InputError] = {}
    waiting: CasePage | None = None  # until the case after it is known
    before: str | None = None

    def write(page: CasePage, following: str | None) -> None:
        text = page.html(before, following, has_index=True)
        files.write_text(output_dir / pages.page_file_name(page.name), text)

    for name, paths in progress(cases.items(), "Writing pages", total=len(cases)):
        try:
            page = pages.build_case(name, *read(*paths), read_sidecar(paths[0]))
        except InputError as error:
            failed[name] = error
            continue
        rows[name] = page.row
        if waiting:
            write(waiting, following=name)
            before = waiting.name
        waiting = page
    if waiting:
        write(waiting, following=None)
    print(*failed.values(), sep="\n", end="\n" if failed else "", file=sys.stderr)
    drawn = [name for name in FLAGS.figure1 if name not in failed]
    if drawn:
        write_figure1(drawn, cases, output_dir / "figure1.png")
    reasons = {name: f"{pathlib.Path(error.path).name}: {error.reason}" for name, error in failed.items()}
    index = output_dir / "index.html"
    files.write_text(index, pages.index_html(rows, reasons))
    print(f"{len(rows)} of {len(cases)} pages written; {f'begin with {index}' if rows else f'{index} says why'}")
    return app.EXIT_SOME_FAILED if failed else app.EXIT_DONE


def find_cases() -> dict[str, Case]:
    """Return the files of every prediction.

    Raises:
        UsageError: A folder does not exist or holds nothing for any prediction.
    """
    from kits_tf.evaluation import matching
    from kits_tf.io.dicom import Series

    predictions = matching.find_labels(pathlib.Path(FLAGS.predictions), "predictions")
    images = matching.find_images(pathlib.Path(FLAGS.images))
    is_one = pathlib.Path(FLAGS.images).is_file() or any(isinstance(image, Series) for image in images.values())
    references, reference_of = {}, {}
    image_of = matching.counterparts(predictions, images, is_one)
    if not image_of:
        raise UsageError("images", f"holds no CT of the predictions; {matching.NAMING}")
    if FLAGS.references:
        references = matching.find_labels(pathlib.Path(FLAGS.references), "references")
        reference_of = matching.counterparts(predictions, references, pathlib.Path(FLAGS.references).is_file())
        if not reference_of:
            raise UsageError("references", f"holds no reference of the predictions; {matching.NAMING}")
    return {
        name: (predictions[name], images.get(image_of.get(name, "")), references.get(reference_of.get(name, "")))
        for name in sorted(predictions)
    }


def check_figure1(cases: dict[str, Case]) -> None:
    """Raise a UsageError if a case of --figure1 has no prediction or no reference."""
    if FLAGS.figure1 and not FLAGS.references:
        raise UsageError("figure1", "requires --references")
    usable = [name for name, (_, _, reference) in cases.items() if reference is not None]
    for name in FLAGS.figure1:
        if name not in usable:
            raise UsageError("figure1", f"must be cases with a reference ({', '.join(usable)}), got {name!r}")


def write_figure1(names: list[str], cases: dict[str, Case], path: pathlib.Path) -> None:
    """Draw cases as the paper's Figure 1."""
    from kits_tf import files
    from kits_tf.report import figures

    scenes = {}
    for name in names:
        volume, prediction, reference = read(*cases[name])
        scenes[name] = figures.Scene(volume.hu, volume.spacing_mm, prediction, reference)
    with files.replacing(path) as temporary:
        temporary.write_bytes(figures.draw_figure1(scenes))
    print(f"{path} written")


def read(
    prediction_path: pathlib.Path, image: Any, reference_path: pathlib.Path | None
) -> tuple[Volume, np.ndarray, np.ndarray | None]:
    """Read the CT, the prediction and the reference of a case.

    Raises:
        InputError: A file cannot be read, the CT is missing, or their grids differ.
    """
    from kits_tf.evaluation.matching import check_same_grid
    from kits_tf.io import dicom
    from kits_tf.io.volume import read_labels, read_volume

    if image is None:
        raise InputError(prediction_path, "no CT for it in --images")
    volume = dicom.read_series(image) if isinstance(image, dicom.Series) else read_volume(image)
    labels = []
    for path in filter(None, (prediction_path, reference_path)):
        values, grid = read_labels(path)
        check_same_grid(path, grid, volume.grid)
        labels.append(values)
    return volume, labels[0], labels[1] if reference_path else None


def run() -> None:
    """Run the console command kits-report."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
