"""What lies beside a label file, under its name with another suffix: a JSON, probabilities, a DICOM SEG, a page."""

import dataclasses

from kits_tf.data.kits19 import PROBABILITY_SUFFIXES
from kits_tf.io.dicom_seg import write_segmentation

SUMMARY_SUFFIX = ".json"
SEG_SUFFIX = ".dcm"
PAGE_SUFFIX = ".html"
OF_THESE_LABELS = (SUMMARY_SUFFIX, PAGE_SUFFIX, SEG_SUFFIX, *PROBABILITY_SUFFIXES.values())
"""Suffixes of what other labels of that name make untrue; the JSON first, for it would call them done."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A CT with its labels, as functions take it that write more beside them.

    Attributes:
        source: the Input.
        volume: the CT, a `Volume`.
        labels: uint8 on its working axes.
        summary: the JSON's content.
    """

    source: object
    volume: object
    labels: object
    summary: dict


def companion(path, suffix):
    """A file beside a label file: the same name with another suffix."""
    return path.with_name(path.name.removesuffix(".nii.gz") + suffix)


def summary_path(path):
    """The JSON beside a label file."""
    return companion(path, SUMMARY_SUFFIX)


def own_writers(source):
    """{suffix: function of (label file, `Case`)} of what lies beside an Input's labels in any case: a DICOM SEG."""
    return {SEG_SUFFIX: write_seg} if source.series else {}


def write_seg(path, case):
    """Writes the DICOM SEG of a series' labels."""
    write_segmentation(case.labels, case.source.series, companion(path, SEG_SUFFIX))


def remove(path):
    """Removes what was written beside other labels of that name: none of it belongs to labels that come now."""
    for suffix in OF_THESE_LABELS:
        companion(path, suffix).unlink(missing_ok=True)


def superseded(path, source, wanted):
    """The names of what goes when a label file is written again.

    Args:
        path: the label file.
        source: its Input.
        wanted: suffixes of what is then written anew.
    """
    again = {SUMMARY_SUFFIX, *wanted, *own_writers(source)}
    gone = [companion(path, suffix) for suffix in OF_THESE_LABELS if suffix not in again]
    return [file.name for file in gone if file.is_file()]
