"""What lies in the output folder for a CT already: its labels, another CT's, or a file that may be the user's own."""

import pathlib

from kits_tf.dataset import prepared
from kits_tf.errors import InputError
from kits_tf.evaluation import recorded
from kits_tf.inference import companions, digests, options, reading
from kits_tf.volume import read_grid

SPACING_TOLERANCE_MM = 1e-5  # the JSON's six digits
REPLACES = "--overwrite replaces it"


def lacking(source, output_dir, now=None, kidney_masks=None, wanted=()):
    """What is not there yet of an Input's labels and what belongs beside them.

    Args:
        source: an Input.
        output_dir: folder of the labels.
        now: `options.recorded` of this run, or None for whichever.
        kidney_masks: folder of masks of this run, or None.
        wanted: suffixes of files that this run writes beside the labels, such as ".html".

    Returns:
        None where all is to be done: there are no labels, or no JSON, which is written last. Else a list of suffixes,
        empty where nothing is lacking; of a DICOM series its DICOM SEG is wanted in any case.

    Raises:
        InputError: there are labels that must not be replaced unasked, without a JSON beside the CT itself or with the
            JSON of another CT, of other options or of another program; or the CT or its mask cannot be read.
    """
    path = pathlib.Path(output_dir) / source.output_name
    if source.fault or not path.is_file():
        return None
    if not companions.summary_path(path).is_file():
        check_not_beside(source, path)
        return None
    found = recorded.beside(path)
    check_readable(source, path, found)
    check_same_ct(source, path, found)
    if now is not None:
        mask_path = reading.mask_path(kidney_masks, source) if kidney_masks else None
        check_same_options(source, path, found, options.of_case(now, mask_path))
    wanted = [*wanted, companions.SEG_SUFFIX] if source.series else wanted
    return [suffix for suffix in wanted if not companions.companion(path, suffix).is_file()]


def check_not_beside(source, path):
    """Raises InputError where labels without a JSON lie in their CT's folder, where a user may keep his own."""
    if prepared.is_record(source.path):
        return
    folder = source.path if source.series else source.path.parent
    if folder.resolve() == path.parent.resolve():
        reason = f"is there without its .json, so perhaps not written by this command; {REPLACES}"
        raise InputError(source.shown(path), reason)


def check_readable(source, path, found):
    """Raises InputError where a label file's JSON, as `recorded.beside` gives it, is not this command's."""
    if not {"shape", "spacing_mm"} <= set(found):
        reason = f"its .json is damaged, or not written by this command; {REPLACES}"
        raise InputError(source.shown(path), reason)


def check_same_ct(source, path, found):
    """Raises InputError where a label file's JSON tells of another CT; without a digest in it, as its header does."""
    if "input_digest" in found:
        same = found["input_digest"] == digests.of_input(source)
    elif source.series or prepared.is_record(source.path):
        same = True
    else:
        same = is_of(read_grid(source.path), found)
    if not same:
        there = f"shape {found['shape']}, spacing {found['spacing_mm']} mm"
        reason = f"was written for another CT ({there}), or for this one before it changed; {REPLACES}"
        raise InputError(source.shown(path), reason)


def check_same_options(source, path, found, now):
    """Raises InputError where a label file's JSON tells of other options, or other weights, than those of now."""
    difference = options.difference(found, now)
    if difference:
        raise InputError(source.shown(path), f"was written with other options ({difference}); {REPLACES}")


def is_of(grid, found):
    """Whether the shape and spacing that a JSON tells are those of a `Grid`."""
    told = found["spacing_mm"]
    if found["shape"] != list(grid.shape) or not isinstance(told, list) or len(told) != 3:
        return False
    pairs = zip(told, grid.spacing_mm, strict=True)
    return all(isinstance(a, (int, float)) and abs(a - b) <= SPACING_TOLERANCE_MM for a, b in pairs)
