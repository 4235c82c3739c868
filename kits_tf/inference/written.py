"""What lies in the output folder for a CT already: its labels, another CT's, or a file that may be the user's own."""

import pathlib

from kits_tf.dataset import prepared
from kits_tf.errors import InputError
from kits_tf.inference import options, summary
from kits_tf.inference.cases import companion, summary_path
from kits_tf.volume import read_grid

SPACING_TOLERANCE_MM = 1e-5  # the JSON's six digits


def is_done(source, output_dir, now=None, beside=()):
    """Whether the labels and the JSON of an Input are there; the JSON is written last.

    Args:
        source: an Input.
        output_dir: folder of the labels.
        now: `options.recorded` of this run, or None for whichever.
        beside: suffixes of files that this run writes beside the labels, such as ".html"; labels without them are not
            done.

    Raises:
        InputError: there are labels that must not be replaced unasked, without a JSON beside the CT itself or with the
            JSON of another CT or of other options; or the CT's header cannot be read.
    """
    path = pathlib.Path(output_dir) / source.output_name
    if source.fault or not path.is_file():
        return False
    if summary_path(path).is_file():
        found = summary.read(summary_path(path))
        check_same_ct(source, path, found)
        check_same_options(source, path, found, now or {})
        return all(companion(path, suffix).is_file() for suffix in beside)
    if lies_beside(source, path):
        reason = "is there without its .json, so perhaps not written by this command; --overwrite replaces it"
        raise InputError(source.shown(path), reason)
    return False


def lies_beside(source, path):
    """Whether a label file lies in the folder of its CT, where a user may keep labels of his own."""
    if prepared.is_record(source.path):
        return False
    folder = source.path if source.series else source.path.parent
    return folder.resolve() == path.parent.resolve()


def check_same_ct(source, path, found):
    """Raises InputError where a label file's JSON tells of another CT than a NIfTI file's header does."""
    if source.series or prepared.is_record(source.path) or not {"shape", "spacing_mm"} <= set(found):
        return
    if not is_of(read_grid(source.path), found):
        there = f"shape {found['shape']}, spacing {found['spacing_mm']} mm"
        raise InputError(source.shown(path), f"was written for another CT ({there}); --overwrite replaces it")


def check_same_options(source, path, found, now):
    """Raises InputError where a label file's JSON tells of other options, or other weights, than those of now."""
    difference = options.difference(found, now)
    if difference:
        raise InputError(source.shown(path), f"was written with other options ({difference}); --overwrite replaces it")


def is_of(grid, found):
    """Whether the shape and spacing that a JSON tells are those of a `Grid`."""
    told = found["spacing_mm"]
    if found["shape"] != list(grid.shape) or not isinstance(told, list) or len(told) != 3:
        return False
    pairs = zip(told, grid.spacing_mm, strict=True)
    return all(isinstance(a, (int, float)) and abs(a - b) <= SPACING_TOLERANCE_MM for a, b in pairs)
