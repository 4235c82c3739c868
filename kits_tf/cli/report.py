"""Write HTML pages about predictions: pictures, volumes, tumor sizes and, with references, scores and errors.

Example: kits-report --predictions=out --images=kits19/data --references=kits19/data --output_dir=report
"""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from absl import flags

from kits_tf import config
from kits_tf.cli import app
from kits_tf.errors import InputError, UsageError
from kits_tf.progress import counted, progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from kits_tf.evaluation import matching
    from kits_tf.inference.inputs import Input
    from kits_tf.io.volume import Volume

FLAGS = flags.FlagValues()
INPUT, OUTPUT = (app.group(FLAGS, name) for name in ("Input", "Output"))

flags.DEFINE_string("predictions", None, "A label file, or a folder tree of them.", required=True, **INPUT)
flags.DEFINE_string(
    "images", None, "The CTs; accepts the same as kits-predict --input.", required=True, **INPUT,
)  # fmt: skip
flags.DEFINE_string("references", None, "A label file, a folder tree of them, or a prepared folder.", **INPUT)
flags.DEFINE_enum("split", None, config.SPLITS, "Only this split of a prepared folder.", **INPUT)
flags.DEFINE_string("output_dir", None, "Folder for the pages.", required=True, **OUTPUT)
flags.DEFINE_bool(
    "viewer", True, "Put the interactive viewer into each page; --noviewer keeps pages small.", **OUTPUT,
)  # fmt: skip
flags.DEFINE_list(
    "figure1", [], "Cases to draw as in the paper's Figure 1 (CT, reference, prediction) in figure1.png; requires "
    "--references.", **OUTPUT,
)  # fmt: skip

Case: TypeAlias = "tuple[pathlib.Path, Input | None, pathlib.Path | None]"
"""Prediction, CT and reference; None if there is none."""


def main() -> int:
    """Write a page for every prediction, and an index; return the exit code."""
    from kits_tf import files
    from kits_tf.evaluation.matching import read_sidecar
    from kits_tf.report import pages

    pages.require_libraries("output_dir")
    cases = find_cases()
    check_figure1(cases)
    app.check_output_folder("output_dir", FLAGS.output_dir)
    output_dir = pathlib.Path(FLAGS.output_dir)
    rows: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name, paths in progress(cases.items(), "Writing pages", total=len(cases)):
        try:
            volume, prediction, reference = read(*paths)
            page = pages.build_case(name, volume, prediction, reference, read_sidecar(paths[0]), FLAGS.viewer)
        except InputError as error:
            failed[name] = f"{pathlib.Path(error.path).name}: {error.reason}"
            print(error, file=sys.stderr)
            continue
        for warning in volume.warnings:
            print(f"{name}: warning: {warning}", file=sys.stderr)
        files.write_text(output_dir / page.row["page"], page.html())
        rows[name] = page.row
    if drawn := [name for name in FLAGS.figure1 if name not in failed]:
        write_figure1(drawn, cases, output_dir / "figure1.png")
    index = output_dir / "index.html"
    pages.write_index(index, rows, failed)
    where = f"begin with {index}" if rows else f"{index} says why"
    print(f"{len(rows)} of {counted(len(cases), 'page')} written; {where}")
    return app.EXIT_SOME_FAILED if failed else app.EXIT_DONE


def find_cases() -> dict[str, Case]:
    """Return the files of every prediction; raise UsageError for a folder that is missing or matches none of them."""
    from kits_tf import runtime
    from kits_tf.data import records
    from kits_tf.evaluation import matching

    def partners(flag: str, others: Mapping[str, matching.Other], is_one: bool) -> dict[str, str]:
        if not (found := matching.counterparts(predictions, others, is_one)):
            raise UsageError(flag, f"must hold a counterpart of a prediction; {matching.NAMING}")
        return found

    predictions = matching.find_labels(pathlib.Path(FLAGS.predictions), "predictions")
    folders = [folder for folder in (FLAGS.images, FLAGS.references) if folder]
    if FLAGS.split:
        cases = matching.split_cases(folders, FLAGS.split)
        predictions = {name: path for name, path in predictions.items() if name in cases}
    if any(map(records.is_prepared, folders)):
        runtime.load_tensorflow("cpu")
    images = find_images(predictions)
    is_one = pathlib.Path(FLAGS.images).is_file() or any(source.series for source in images.values())
    image_of = partners("images", {name: other_of(source) for name, source in images.items()}, is_one)
    references, reference_of = {}, {}
    if FLAGS.references:
        path = pathlib.Path(FLAGS.references)
        references = matching.find_labels(path, "references", matching.ct_digests(predictions.values()))
        reference_of = partners("references", matching.as_others(references, path), path.is_file())
    return {
        name: (predictions[name], images.get(image_of.get(name, "")), references.get(reference_of.get(name, "")))
        for name in sorted(predictions)
    }


def find_images(predictions: Mapping[str, pathlib.Path]) -> dict[str, Input]:
    """Return the CTs of --images, numbered; predictions in the same folder are left out."""
    from kits_tf.inference import inputs

    try:
        found = inputs.find_inputs(FLAGS.images).inputs
    except UsageError as error:
        raise UsageError("images" if error.flag == "input" else error.flag, error.reason) from None
    labels = {path.resolve() for path in predictions.values()}
    return {str(number): one for number, one in enumerate(found) if one.path.resolve() not in labels}


def other_of(source: Input) -> matching.Other:
    """Return the names and the digest of a CT."""
    from kits_tf.evaluation import matching

    def digest() -> str | None:
        try:
            return None if source.fault else source.digest
        except InputError:
            return None

    names = {matching.case_id(pathlib.Path(name)) for name in (source.output_name, source.name) if name}
    return matching.Other(names, digest)


def check_figure1(cases: dict[str, Case]) -> None:
    """Raise a UsageError if a case of --figure1 has no prediction or no reference."""
    if FLAGS.figure1 and not FLAGS.references:
        raise UsageError("figure1", "requires --references")
    usable = [name for name, (_, _, reference) in cases.items() if reference]
    if wrong := [name for name in FLAGS.figure1 if name not in usable]:
        raise UsageError("figure1", f"must be cases with a reference ({', '.join(usable)}), got {wrong[0]!r}")


def write_figure1(names: list[str], cases: dict[str, Case], path: pathlib.Path) -> None:
    """Draw cases as the paper's Figure 1."""
    from kits_tf import files
    from kits_tf.report import figures

    read_cases = {name: read(*cases[name]) for name in names}
    scenes = {name: figures.Scene(one[0].hu, one[0].spacing_mm, *one[1:]) for name, one in read_cases.items()}
    with files.replacing(path) as temporary:
        temporary.write_bytes(figures.draw_figure1(scenes))
    print(f"{path} written")


def read(
    prediction_path: pathlib.Path, image: Input | None, reference_path: pathlib.Path | None
) -> tuple[Volume, np.ndarray, np.ndarray | None]:
    """Read the CT, the prediction and the reference of a case; InputError if they are unusable or grids differ."""
    from kits_tf.evaluation import matching

    if image is None:
        raise InputError(prediction_path, "no CT for it in --images")
    volume = image.read()

    def read_labels(path: pathlib.Path) -> np.ndarray:
        labels, grid = matching.read_labels(path)
        matching.check_same_grid(path, grid, volume.grid)
        return labels

    return volume, read_labels(prediction_path), read_labels(reference_path) if reference_path else None


def run() -> None:
    """Run the console command kits-report."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
