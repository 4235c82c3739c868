"""Find the CT series in a folder tree by the headers of their images. Needs the extra `dicom`."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kits_tf import files
from kits_tf.errors import InputError, UsageError
from kits_tf.io.dicom import COPIED_TO_SEG, NUMBERS, Series, read_dataset
from kits_tf.io.privacy import IDENTIFIERS, identifying_words, names_patient, quiet, safe_name, safe_path, uid_digest
from kits_tf.progress import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pydicom

_DAMAGED = "a damaged DICOM file"
_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
_MODALITIES = ("MR", "PT", "NM", "US", "XA", "DX", "CR", "RF", "MG", "OT")  # that messages may name
_OTHERS = (
    *("Modality", "SeriesNumber", "SeriesDescription", "InstanceNumber", "AcquisitionNumber"),
    *("ImageType", "RescaleType"),
)
_READ = [*_NEEDED, *NUMBERS, *IDENTIFIERS, *COPIED_TO_SEG, *_OTHERS]
_SUFFIX = re.compile(r".*\.(dcm|dicom|ima)", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[^.]*|.*\.\d+")  # exports without a suffix, or named by UIDs


class Skipped(NamedTuple):
    """A series that is not a CT volume: one line of text about it, and its files."""

    text: str
    paths: tuple[Path, ...]


class Tree(NamedTuple):
    """The series of a folder tree.

    Attributes:
        series: the CT series.
        skipped: other series.
        fault: why there is no CT to segment, or None.
        lost: names damaged files that belong to none of the series, or None.
    """

    series: list[Series]
    skipped: list[Skipped]
    fault: InputError | None
    lost: InputError | None = None


def is_dicom(path: Path) -> bool:
    """Return whether a file starts like DICOM: with a preamble and DICM, or directly with group 2 or 8."""
    start = _start(path)
    return start[128:] == b"DICM" or (start[:2] in (b"\x02\x00", b"\x08\x00") and start[2:4] < b"\x19\x00")


def find_series(folder: str | os.PathLike) -> list[Series]:
    """Return the CT series of `read_tree`.

    Raises:
        UsageError: pydicom or highdicom is not installed.
        InputError: there is no CT image, or every series is damaged.
    """
    tree = read_tree(folder)
    if tree.fault:
        raise tree.fault
    return tree.series


def read_tree(folder: str | os.PathLike) -> Tree:
    """Find the CT series in a folder and below it, linked folders included, by number.

    Localizers, other images and second copies of an image are ignored. A file that cannot be read makes the series in
    its folder, or in folders above, unusable (`Series.damage`), since slices may be missing. Raises UsageError if
    pydicom or highdicom is not installed.
    """
    try:
        import highdicom  # noqa: F401
        import pydicom  # noqa: F401
    except ImportError:
        raise UsageError("input", "a DICOM series needs this package's extra `dicom` (pydicom, highdicom)") from None
    folder = Path(folder)
    headers, unreadable, without_uids = _read_headers(folder)
    words = set[str]().union(*map(identifying_words, headers))
    cts: dict[str, list[pydicom.Dataset]] = {}
    others: dict[str, list[pydicom.Dataset]] = {}
    for header in headers:
        is_ct = header.SOPClassUID == _CT_IMAGE and not _is_localizer(header) and not _other_modality(header)
        (cts if is_ct else others).setdefault(str(header.get("SeriesInstanceUID", "")), []).append(header)
    skipped = [_skipped(images) for images in others.values()]
    is_safe = headers and not names_patient(str(folder), words)
    where = folder if is_safe else "the folder of DICOM files"
    if not cts:
        what = _listed(unreadable, words if headers else None) if unreadable else _instead_of_ct(headers)
        return Tree([], skipped, InputError(where, f"holds {what}"))
    found, stray = [], {path: reason for path, reason in unreadable.items() if reason.startswith(_DAMAGED)}
    for uid, images in cts.items():
        own = own_folder(images)
        beside = {path: reason for path, reason in unreadable.items() if path.is_relative_to(own)}
        stray = {path: reason for path, reason in stray.items() if path not in beside}
        damage = f"holds {_listed(beside, words)}; slices may be missing" if beside else None
        if keys := {key for image in images for key in without_uids.get(Path(image.filename), ())}:
            damage = f"holds CT images without {', '.join(sorted(keys))}; export them again"
        found.append(_series(folder, uid, images, damage))
    fault = InputError(found[0].where, found[0].damage) if all(one.damage for one in found) else None
    if len(found) > 1:
        numbers = [one.number for one in found]
        ends = [uid_digest(one.uid) if numbers.count(one.number) > 1 else one.number for one in found]
        found = [dataclasses.replace(one, name=f"{one.name}_{end}") for one, end in zip(found, ends, strict=True)]
    found.sort(key=lambda series: (series.number is None, series.number, series.uid))
    lost = InputError(where, f"holds {_listed(stray, words)}") if stray else None
    return Tree(found, skipped, fault, lost)


def choose(series: Sequence[Series], wanted: str | None = None) -> Series:
    """Return the series with a Series Number or Series Instance UID, or the only one; UsageError if none matches."""
    chosen = [one for one in series if not wanted or wanted in (str(one.number), one.uid)]
    if len(chosen) == 1:
        return chosen[0]
    listed = "; ".join(one.describe() for one in series[:20])
    hint = "; name it by its Series Instance UID" if chosen and wanted else ""
    raise UsageError("series", f"must be one of the series in {series[0].where}: {listed}{hint}")


def own_folder(images: Sequence[pydicom.Dataset]) -> Path:
    """Return the folder that holds all images of a series."""
    return Path(os.path.commonpath([os.path.dirname(image.filename) for image in images]))


def _start(path: Path) -> bytes:
    """Return a file's first bytes; empty if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(132)
    except OSError:
        return b""


def _read_headers(folder: Path) -> tuple[list[pydicom.Dataset], dict[Path, str], dict[Path, list[str]]]:
    """Return the headers of all DICOM files of a tree, {path: reason} of unreadable files, and {path: keywords}.

    The keywords are those of `_NEEDED` that a CT image lacks; its header gets values made from its folder and path.
    """
    headers: list[pydicom.Dataset] = []
    unreadable: dict[Path, str] = {}
    without_uids: dict[Path, list[str]] = {}

    def note(error: OSError) -> None:
        unreadable[Path(error.filename)] = "cannot be read"

    for path in (path for _, paths in files.walk(folder, on_error=note) for path in paths):
        start, is_named_dicom = _start(path), bool(_SUFFIX.fullmatch(path.name))
        if not start and (is_named_dicom or _PLAIN_NAME.fullmatch(path.name)):
            unreadable[path] = "empty or not readable"
        elif not is_dicom(path):
            if start and is_named_dicom:
                unreadable[path] = "not DICOM"
        else:
            try:
                header, missing = _read_header(path)
            except Exception as error:  # a damaged file can raise anything, and its message may quote the header
                unreadable[path] = f"{_DAMAGED}, {type(error).__name__}"
                continue
            if missing:
                without_uids[path] = missing
            if header.get("SOPClassUID"):
                headers.append(header)
    return headers, unreadable, without_uids


def _read_header(path: Path) -> tuple[pydicom.Dataset, list[str]]:
    """Return the header of a DICOM file, and the keywords of `_NEEDED` that were made up for a CT image."""
    import pydicom

    with quiet():
        header = read_dataset(path, stop_before_pixels=True, specific_tags=_READ)
        for element in header:  # converts the values, which may fail
            element.value  # noqa: B018
    if any(key in header and header[key].VM > 1 for key in (*_NEEDED, "SeriesNumber")):
        raise ValueError
    is_ct = _CT_IMAGE in (header.file_meta.get("MediaStorageSOPClassUID"), header.get("SOPClassUID"))
    is_ct = is_ct or (header.get("Modality") == "CT" and not header.get("SOPClassUID"))
    missing = [key for key in _NEEDED if is_ct and not header.get(key)]
    if missing and "Rows" not in header:  # which comes later in a file
        raise EOFError
    sources = {"SOPInstanceUID": path, "SeriesInstanceUID": path.parent}
    for key in missing:
        uid = _CT_IMAGE if key == "SOPClassUID" else pydicom.uid.generate_uid(entropy_srcs=[str(sources[key])])
        setattr(header, key, uid)
    return header, missing


def _instead_of_ct(headers: Sequence[pydicom.Dataset]) -> str:
    """Describe what readable images without a CT among them are, if something can be done about it."""
    if any(header.SOPClassUID in _ENHANCED_CT for header in headers):
        return "only multi-frame (enhanced) CT; convert it to single-frame CT images"
    modalities = {_other_modality(header) for header in headers if header.SOPClassUID == _CT_IMAGE} - {""}
    return "no CT image" + (f", but {', '.join(sorted(modalities))} stored as CT (Modality)" if modalities else "")


def _listed(unreadable: dict[Path, str], words: set[str] | None) -> str:
    """Describe unreadable files, by name where that is known not to name a patient."""
    said = [
        reason if words is None or names_patient(path.name, words) else f"{path.name}: {reason}"
        for path, reason in unreadable.items()
    ]
    return f"{len(said)} unreadable ({'; '.join(said[:3])}{'; ...' if said[3:] else ''})"


def _is_localizer(header: pydicom.Dataset) -> bool:
    return "LOCALIZER" in (header.get("ImageType") or ())


def _other_modality(header: pydicom.Dataset) -> str:
    """Return the Modality of an image if it is not CT, else ""."""
    modality = str(header.get("Modality") or "CT")
    if modality == "CT":
        return ""
    return modality if modality in _MODALITIES else "another modality"


def _skipped(images: Sequence[pydicom.Dataset]) -> Skipped:
    """Describe a series that is not a CT volume, without naming the patient."""
    first = images[0]
    kind = "localizer" if _is_localizer(first) else first.SOPClassUID.name.removesuffix(" Storage")
    if first.SOPClassUID == _CT_IMAGE and (modality := _other_modality(first)):
        kind = f"{modality} stored as {kind}"
    where = safe_path(own_folder(images), identifying_words(first), str(first.get("SeriesInstanceUID", "")))
    number = "without a number" if first.get("SeriesNumber") is None else first.SeriesNumber
    text = f"{where}: series {number}, {kind} ({counted(len(images), 'image')})"
    return Skipped(text, tuple(Path(image.filename) for image in images))


def _series(folder: Path, uid: str, headers: list[pydicom.Dataset], damage: str | None) -> Series:
    """Return a series with each image once; a second copy has the same instance, position and pixels."""
    instances: dict[str, pydicom.Dataset] = {}
    for header in headers:
        other = instances.setdefault(str(header.SOPInstanceUID), header)
        if other is not header:
            with quiet():
                images = [read_dataset(one.filename) for one in (header, other)]
            if any(images[0].get(key) != images[1].get(key) for key in ("ImagePositionPatient", "PixelData")):
                damage = "different images have one SOPInstanceUID; export the series again"
    number, words = headers[0].get("SeriesNumber"), identifying_words(headers[0])
    name, where = safe_name(folder.resolve().name, words, uid), safe_path(folder, words, uid)
    number = None if number is None else int(number)
    said = str(headers[0].get("SeriesDescription") or "")
    description = "" if names_patient(said, words) else said
    return Series(uid, number, tuple(instances.values()), name, where, damage, description)
