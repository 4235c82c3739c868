"""What lies in the output folder for a CT already: its labels, another CT's, or a file that may be the user's own."""

import pathlib

from kits_tf.data.records import is_record
from kits_tf.errors import InputError
from kits_tf.evaluation import matching
from kits_tf.inference import companions, digests, options, reading
from kits_tf.io.volume import read_labels

REPLACES = "--overwrite replaces it"
NEEDED = ("input_digest", "labels_digest", "options")  # of a JSON that tells whose labels it lies beside


def lacking(source, output_dir, now=None, kidney_masks=None, wanted=(), by_networks=()):
    """What is not there yet of an Input's labels and what belongs beside them.

    Args:
        source: an Input.
        output_dir: folder of the labels.
        now: `options.recorded` of this run, or None for whichever.
        kidney_masks: folder of masks of this run, or None.
        wanted: suffixes of files that this run writes beside the labels, such as ".html".
        by_networks: those of `wanted` that only networks give.

    Returns:
        None where all is to be done: there are no labels, or no JSON, which is written last, or something of
        `by_networks` is not there. Else a list of suffixes, empty where nothing is lacking; of a DICOM series its
        DICOM SEG is wanted in any case.

    Raises:
        InputError: there are labels that must not be replaced unasked: without a JSON beside the CT itself; with the
            JSON of another CT, of other options or of another program; or changed since, and all is to be done. Or the
            CT, its mask or the labels cannot be read.
    """
    path = pathlib.Path(output_dir) / source.output_name
    if source.fault or not path.is_file():
        return None
    if not companions.summary_path(path).is_file():
        check_not_beside(source, path)
        return None
    found = matching.read_sidecar(path)
    check_told(source, path, found)
    check_same_ct(source, path, found)
    if now is not None:
        mask_path = reading.mask_path(kidney_masks, source) if kidney_masks else None
        check_same_options(source, path, found, options.of_case(now, mask_path))
    wanted = [*wanted, *companions.own_writers(source)]
    absent = [suffix for suffix in wanted if not companions.companion(path, suffix).is_file()]
    again = not set(absent).isdisjoint(by_networks)
    if found["labels_digest"] != digests.of_file(path):
        check_changed(source, path, again)
    return None if again else absent


def check_not_beside(source, path):
    """Raises InputError where labels without a JSON lie in their CT's folder, where a user may keep his own."""
    if is_record(source.path):
        return
    folder = source.path if source.series else source.path.parent
    if folder.resolve() == path.parent.resolve():
        reason = f"is there without its .json, so perhaps not written by this command; {REPLACES}"
        raise InputError(source.shown(path), reason)


def check_told(source, path, found):
    """Raises InputError where a label file's JSON, its sidecar, does not say of what these are."""
    if not set(NEEDED) <= set(found) or not isinstance(found["options"], dict):
        reason = f"its .json says not of what; it is damaged, of an older version or of another program; {REPLACES}"
        raise InputError(source.shown(path), reason)


def check_same_ct(source, path, found):
    """Raises InputError where a label file's JSON tells of another CT."""
    if found["input_digest"] != digests.of_input(source):
        there = f"shape {found.get('shape')}, spacing {found.get('spacing_mm')} mm"
        reason = f"was written for another CT ({there}), or for this one before it changed; {REPLACES}"
        raise InputError(source.shown(path), reason)


def check_same_options(source, path, found, now):
    """Raises InputError where a label file's JSON tells of other options, or other weights, than those of now."""
    difference = options.difference(found, now)
    if difference:
        raise InputError(source.shown(path), f"was written with other options ({difference}); {REPLACES}")


def check_changed(source, path, again):
    """Raises InputError where labels changed since they were written and would be lost, or cannot be read any more."""
    if again:
        reason = f"was changed since it was written, and what is asked for takes its networks again; {REPLACES}"
        raise InputError(source.shown(path), reason)
    try:
        read_labels(path)
    except InputError as error:
        raise InputError(source.shown(path), f"{error.reason}; {REPLACES}") from None
