"""What kits-predict and kits-request share: flags of CTs and outputs, skipping finished CTs, lines and tables."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from absl import flags

from kits_tf import config, files
from kits_tf.cli import app
from kits_tf.errors import InputError
from kits_tf.progress import counted

if TYPE_CHECKING:
    from kits_tf.inference.inputs import Input
    from kits_tf.inference.jobs import Outcome
    from kits_tf.inference.outputs import Case, Writer

Segment: TypeAlias = "Callable[[Sequence[Input], Sequence[Writer]], Generator[Outcome, None, None]]"
"""Segments CTs, writes the files of each by the writers, and yields the outcomes."""


def define_input_flags(flag_values: flags.FlagValues, required: bool = True) -> None:
    """Define --input, --series, --split and --shard."""
    group = app.group(flag_values, "Input")
    flags.DEFINE_string(
        "input", None, "A NIfTI file, a DICOM series, a prepared folder, or a folder tree of these; or a .txt file "
        "that lists such paths, one per line.", required=required, **group,
    )  # fmt: skip
    flags.DEFINE_string("series", None, "Only the DICOM series of this Series Number or Series Instance UID.", **group)
    flags.DEFINE_enum("split", None, config.SPLITS, "Only this split of a prepared folder.", **group)
    flags.DEFINE_string("shard", None, "I/N: only the I-th of N parts of the CTs, to use N machines.", **group)


def define_output_flags(flag_values: flags.FlagValues, required: bool = True) -> None:
    """Define --output_dir and the flags of what is written to it."""
    group = app.group(flag_values, "Output")
    flags.DEFINE_string("output_dir", None, "Folder for labels and JSON sidecars.", required=required, **group)
    flags.DEFINE_bool("overwrite", False, "Replace existing labels.", **group)
    flags.DEFINE_multi_enum(
        "format", None, config.LABEL_FORMATS, "Also write the labels in this format: a segmentation for 3D Slicer, or "
        "surfaces of kidney and tumor. Repeat the flag for both.", **group,
    )  # fmt: skip
    flags.DEFINE_bool("report", False, "Also write the page of kits-report beside each label file.", **group)
    flags.DEFINE_bool(
        "viewer", True, "Put the interactive viewer into each page of --report; --noviewer keeps pages small.", **group
    )
    flags.DEFINE_bool(
        "viewer_files", False, "Also write the names and colors of the labels for 3D Slicer and ITK-SNAP.", **group
    )


def run(
    flag_values: flags.FlagValues,
    settings_of: Callable[[Input], Mapping[str, Any]],
    segment: Segment,
    suffixes: Collection[str] = (),
) -> int:
    """Segment the CTs of --input that are not done, print a line for each, write tables and return the exit code.

    Args:
        flag_values: Parsed flags, those above among them.
        settings_of: Returns the settings that decide the labels of a CT.
        segment: Segments CTs.
        suffixes: Suffixes of files that a case must have to be done, beyond those of the flags above.
    """
    from kits_tf.inference import inputs, outputs
    from kits_tf.report import summary

    found = inputs.find_inputs(flag_values.input, flag_values.series, flag_values.split)
    if found.skipped:
        more = f" and {len(found.skipped) - 5} more" if len(found.skipped) > 5 else ""
        print(f"skipped (not a CT): {'; '.join(found.skipped[:5])}{more}")
    shard, output_dir = flag_values.shard, pathlib.Path(flag_values.output_dir)
    sources = inputs.share_of(found.inputs, shard) if shard else found.inputs
    if not sources:
        print(f"part {shard} of {counted(len(found.inputs), 'CT')} has none")
    part = f"_{shard.replace('/', '_of_')}" if shard else ""
    root = pathlib.Path(flag_values.input)
    root = root if root.is_dir() else root.parent
    writers = chosen_writers(flag_values)

    def is_done(source: Input) -> bool:
        return outputs.is_done(source, output_dir, settings_of(source), [*suffixes, *writers])

    def write_tables() -> str:
        results = summary.collect(sources, reasons, output_dir, root)
        return summary.write(results, output_dir, part, found.skipped)

    waiting, reasons = left_to_do(sources, is_done, flag_values.overwrite)
    if waiting:
        app.check_output_folder("output_dir", output_dir)
        try:
            with contextlib.closing(segment(waiting, list(writers.values()))) as outcomes:
                for number, outcome in enumerate(outcomes, 1):
                    print_outcome(f"[{number}/{len(waiting)}]", outcome)
                    if outcome.reason:
                        reasons[outcome.source] = outcome.reason
        except (KeyboardInterrupt, SystemExit):
            write_tables()
            raise
    if flag_values.viewer_files and sources:
        from kits_tf.report import viewers

        viewers.write(output_dir)
    if sources:
        table = write_tables()
        if len(sources) > 1:
            print(f"{table}\nbegin with {output_dir / f'index{part}.html'}")
    return app.EXIT_SOME_FAILED if reasons else app.EXIT_DONE


def print_notice(notice: str) -> None:
    """Print the notice of the weights, if they have one."""
    if notice:
        print(f"notice: {notice}", file=sys.stderr, flush=True)


def import_nibabel() -> None:
    """Import nibabel without pydicom, which takes longer to import than nibabel itself.

    nibabel needs it only for a header extension that this package never reads.
    """
    if not {"nibabel", "pydicom"} & sys.modules.keys():
        sys.modules["pydicom"] = None  # type: ignore[assignment]  # makes the import fail, which nibabel tolerates
        try:
            import nibabel  # noqa: F401
        finally:
            del sys.modules["pydicom"]


def chosen_writers(flag_values: flags.FlagValues) -> dict[str, Writer]:
    """Return the writers for --format and --report by the suffix of their files.

    Raises:
        UsageError: A required library is not installed.
    """
    from kits_tf.evaluation.matching import case_id
    from kits_tf.inference import formats, outputs

    def write_page(path: pathlib.Path, case: Case) -> None:
        from kits_tf.report import pages

        name = case_id(pathlib.Path(case.source.output_name))
        page = pages.build_case(name, case.volume, case.labels, sidecar=case.sidecar, viewer=has_viewer)
        files.write_text(outputs.sibling(path, outputs.PAGE_SUFFIX), page.html())

    has_viewer = flag_values.viewer  # read here, since Ray's workers have no flags
    writers = formats.writers(flag_values.format or ())
    if flag_values.report:
        from kits_tf.report import pages

        pages.require_libraries("report")
        writers[outputs.PAGE_SUFFIX] = write_page
    return writers


def left_to_do(
    sources: Sequence[Input], is_done: Callable[[Input], bool], overwrite: bool
) -> tuple[list[Input], dict[Input, str]]:
    """Return the CTs to segment, and the reasons why existing labels of others are kept; print those reasons."""
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


def print_outcome(position: str, outcome: Outcome) -> None:
    """Print the warnings about a CT and a line with its outcome, on stderr if it failed."""
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
