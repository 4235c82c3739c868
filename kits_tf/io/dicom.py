"""DICOM CT series: found by their headers, sorted by position, read as volumes. Needs the extra `dicom`.

Messages name the folder that the user named and images by their number, never text from a header, since it may name
a patient. Slices are decoded one by one: `highdicom.get_volume_from_series` holds four copies of a CT and refuses
series without a Frame of Reference, so only its geometry is used.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from kits_tf.errors import InputError, UsageError
from kits_tf.io.privacy import IDENTIFIERS, identifying_words, names_patient, quiet, safe_name, uid_digest
from kits_tf.io.volume import Grid, Volume, fits_int16, stored_orientation, to_working, working_grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pydicom

MAX_TILT_DEGREES = 0.5
"""Slices sheared further against each other, by a tilted gantry, are refused."""

MAX_UNEVENNESS = 0.05
"""How much of the mean distance between slices a distance may differ from it."""

MAX_SHIFT_MM = 1.0
"""How far a slice may be shifted within its plane."""

AIR_HU = -1024
"""HU of the padding around a reconstructed circle."""

COPIED_TO_SEG = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "StudyInstanceUID", "FrameOfReferenceUID", "SliceThickness",
)  # fmt: skip
"""Elements of the images that a DICOM SEG repeats; those that are missing are filled."""

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
_NUMBERS = {
    "ImagePositionPatient": (3, "position"),
    "ImageOrientationPatient": (6, "orientation"),
    "PixelSpacing": (2, "pixel spacing"),
    "Rows": (1, "size"),
    "Columns": (1, "size"),
    "RescaleSlope": (1, "rescale to HU"),
    "RescaleIntercept": (1, "rescale to HU"),
}
_ALIKE = {"Rows": 0, "Columns": 0, "PixelSpacing": 1e-3, "ImageOrientationPatient": 1e-3}
_READ = (
    *_NEEDED, *_NUMBERS, *IDENTIFIERS, *COPIED_TO_SEG, "SeriesNumber", "InstanceNumber", "AcquisitionNumber",
    "ImageType", "RescaleType", "SamplesPerPixel",
)  # fmt: skip
_SUFFIX = re.compile(r".*\.(dcm|dicom|ima)", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[^.]*|.*\.\d+")  # as exports without a suffix have them, UIDs among them


@dataclasses.dataclass(frozen=True)
class Header:
    """One image's file and the elements of its header that are used, without pixels."""

    path: pathlib.Path
    dataset: pydicom.Dataset = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Series:
    """One CT series.

    Attributes:
        folder: the folder that was searched.
        uid: Series Instance UID.
        number: Series Number, or None.
        headers: its images in no order, each instance once.
        name: name of its output files: the folder's name, with the series' number where there are several; names no
            patient.
        where: what messages call it: the folder, or if its path names the patient, a digest.
        damage: why it must not be segmented, or None.
    """

    folder: pathlib.Path
    uid: str
    number: int | None
    headers: tuple[Header, ...] = dataclasses.field(repr=False)
    name: str
    where: str
    damage: str | None = None

    def describe(self) -> str:
        """Return a line such as "series 3: 88 images of 512x512"."""
        first = self.headers[0].dataset
        number = "without a number" if self.number is None else self.number
        count = f"{len(self.headers)} {'image' if len(self.headers) == 1 else 'images'}"
        return f"series {number}: {count} of {first.get('Rows')}x{first.get('Columns')}"


@dataclasses.dataclass(frozen=True)
class Stack:
    """The images of a series as a volume.

    Attributes:
        headers: sorted along the normal of the slices that makes slices, rows and columns right-handed.
        slice_mm: distance between slices.
        orientation: nibabel's orientation [3, 2] of (slices, rows, columns) as they are stored.
        grid: the volume's `Grid` on the working axes.
        is_whole: whether the rescale to HU keeps whole numbers whole.
    """

    headers: tuple[Header, ...]
    slice_mm: float
    orientation: np.ndarray
    grid: Grid
    is_whole: bool


def is_dicom(path: pathlib.Path) -> bool:
    """Return whether a file begins as DICOM: with a preamble and DICM, or at once with group 2 or 8."""
    try:
        with open(path, "rb") as stream:
            return _begins_as_dicom(stream.read(132))
    except OSError:
        return False


def holds_dicom(folder: str | os.PathLike) -> bool:
    """Return whether a folder or one below it holds a DICOM file."""
    return any(is_dicom(path) for path in _files(pathlib.Path(folder), {}))


def find_series(folder: str | os.PathLike) -> list[Series]:
    """Find the CT series in a folder and below it, linked folders included.

    Localizers and other images are passed over, and second copies of an image. Files that cannot be read make the
    series beside them unusable (`Series.damage`), since a slice may be missing.

    Args:
        folder: the folder.

    Returns:
        The series, by number.

    Raises:
        UsageError: pydicom or highdicom is not installed.
        InputError: there is no CT image, or no series without damage.
    """
    _require_libraries()
    folder = pathlib.Path(folder)
    headers, unreadable = _read_headers(folder)
    words = set[str]().union(*(identifying_words(header.dataset) for header in headers))
    by_uid: dict[str, list[Header]] = {}
    for header in headers:
        if _is_ct_slice(header.dataset):
            by_uid.setdefault(str(header.dataset.SeriesInstanceUID), []).append(header)
    if not by_uid:
        safe = headers and not names_patient(str(folder), words)
        what = _unreadable(unreadable, words if headers else None) if unreadable else _instead_of_ct(headers)
        raise InputError(folder if safe else "the folder of DICOM files", f"holds {what}")
    parents = {parent for header in headers for parent in header.path.parents}
    places = {path: next(parent for parent in path.parents if parent in parents) for path in unreadable}
    found = []
    for uid, images in by_uid.items():
        own = {parent for header in images for parent in header.path.parents}
        beside = {path: reason for path, reason in unreadable.items() if places[path] in own}
        damage = f"holds {_unreadable(beside, words)}; slices may be missing" if beside else None
        found.append(_series(folder, uid, images, damage))
    if all(one.damage for one in found):
        raise InputError(found[0].where, found[0].damage)
    if len(found) > 1:
        found = [dataclasses.replace(one, name=_numbered(one, found)) for one in found]
    return sorted(found, key=lambda series: (series.number is None, series.number, series.uid))


def choose(series: Sequence[Series], wanted: str | None = None) -> Series:
    """Return the one series that is wanted.

    Args:
        series: what `find_series` found.
        wanted: a Series Number or Series Instance UID, or None where there is only one.

    Raises:
        UsageError: there are several, or none is wanted; the message lists them.
    """
    chosen = [one for one in series if not wanted or wanted in (str(one.number), one.uid)]
    if len(chosen) == 1:
        return chosen[0]
    listed = "; ".join(one.describe() for one in series[:20])
    if len(chosen) > 1 and wanted:
        listed += "; name it by its Series Instance UID"
    raise UsageError("series", f"must be one of the series in {series[0].where}: {listed}")


def read_series(series: Series) -> Volume:
    """Read a series as a CT.

    Stored numbers are rescaled to HU, padding becomes air. GDCM, pyjpegls or pydicom decode compressed images.

    Args:
        series: one of `find_series`.

    Returns:
        A `Volume` on the working axes, its affine in RAS mm; int16 where all values are whole and fit, else float32.

    Raises:
        InputError: the images are no volume (see `stack`), or their pixels cannot be read.
    """
    ordered = stack(series)
    hu = None
    for number, header in enumerate(ordered.headers):
        image = _hu(series.where, header.path)
        if hu is None:
            hu = np.empty((len(ordered.headers), *image.shape), np.int16)
        if hu.dtype == np.int16 and not fits_int16(image):
            hu = hu.astype(np.float32)
        hu[number] = image
    grid = ordered.grid
    return Volume(
        hu=np.ascontiguousarray(to_working(np.asarray(hu), ordered.orientation)),
        spacing_mm=grid.spacing_mm,
        affine=grid.affine,
        warnings=grid.warnings,
    )


def stack(series: Series) -> Stack:
    """Sort the images of a series by position.

    Args:
        series: one of `find_series`.

    Raises:
        InputError: a file was damaged, a header lacks what is needed, images differ in size, orientation or spacing,
            two are at one place, a slice is missing, acquisitions overlap, or the gantry was tilted.
    """
    from highdicom.spatial import get_volume_positions

    where = series.where
    if series.damage:
        raise InputError(where, series.damage)
    if len(series.headers) < 2:
        raise InputError(where, "holds one slice of the series, a volume must have two at least")
    numbers = _checked_numbers(where, series.headers)
    row, column = numbers["ImageOrientationPatient"][0].reshape(2, 3)
    normal = np.cross(column, row)  # so that slices, rows and columns are right-handed
    positions = numbers["ImagePositionPatient"]
    order = np.argsort(positions @ normal, kind="stable")
    _check_acquisitions(where, [series.headers[i].dataset.get("AcquisitionNumber") for i in order])
    slice_mm, _ = get_volume_positions(
        positions, np.concatenate([row, column]), rtol=MAX_UNEVENNESS, perpendicular_tol=1.0
    )
    fault = _no_volume(positions[order], normal, slice_mm is not None)
    if fault or slice_mm is None:
        raise InputError(where, fault)
    spacing_mm = numbers["PixelSpacing"][0]
    affine = np.eye(4)
    affine[:3] = np.stack(
        [normal * slice_mm, column * spacing_mm[0], row * spacing_mm[1], positions[order[0]]], axis=1
    )
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # from LPS to RAS
    orientation = stored_orientation(where, affine)
    shape = len(order), int(numbers["Rows"][0, 0]), int(numbers["Columns"][0, 0])
    rescale = np.concatenate([numbers["RescaleSlope"], numbers["RescaleIntercept"]])
    return Stack(
        headers=tuple(series.headers[i] for i in order),
        slice_mm=float(slice_mm),
        orientation=orientation,
        grid=dataclasses.replace(working_grid(affine, shape, orientation), warnings=_incomplete(series.headers)),
        is_whole=bool((rescale % 1 == 0).all()),
    )


def read_dataset(path: pathlib.Path, **options: Any) -> pydicom.Dataset:
    """Read a DICOM file, with or without the preamble and file meta information that a file must have.

    Args:
        path: the file.
        **options: further arguments of `pydicom.dcmread`.
    """
    import pydicom

    dataset = pydicom.dcmread(path, force=True, **options)
    if "TransferSyntaxUID" not in dataset.file_meta:
        is_implicit, _ = dataset.original_encoding
        syntax = pydicom.uid.ImplicitVRLittleEndian if is_implicit else pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _require_libraries() -> None:
    try:
        import highdicom  # noqa: F401
        import pydicom  # noqa: F401
    except ImportError:
        raise UsageError("input", "a DICOM series needs this package's extra `dicom` (pydicom, highdicom)") from None


def _begins_as_dicom(start: bytes) -> bool:
    return start[128:] == b"DICM" or (start[:2] in (b"\x02\x00", b"\x08\x00") and start[2:4] < b"\x19\x00")


def _files(folder: pathlib.Path, unreadable: dict[pathlib.Path, str]) -> Iterator[pathlib.Path]:
    """Yield the files of a folder and of those below it, each once; note folders that cannot be read."""

    def note(error: OSError) -> None:
        unreadable[pathlib.Path(error.filename)] = "cannot be read"

    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=note):
        if os.path.realpath(parent) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(parent))
        folders.sort()
        paths = (pathlib.Path(parent, name) for name in sorted(names) if not name.startswith("."))
        yield from (path for path in paths if path.is_file() or path.is_symlink())


def _read_headers(folder: pathlib.Path) -> tuple[list[Header], dict[pathlib.Path, str]]:
    """Return the headers of all DICOM files in a folder and below it, and {path: reason} of unreadable ones."""
    headers: list[Header] = []
    unreadable: dict[pathlib.Path, str] = {}
    for path in _files(folder, unreadable):
        is_named_dicom = bool(_SUFFIX.fullmatch(path.name))
        try:
            with open(path, "rb") as stream:
                start = stream.read(132)
        except OSError:
            start = b""
        if not start and (is_named_dicom or _PLAIN_NAME.fullmatch(path.name)):
            unreadable[path] = "empty or not readable"
        elif _begins_as_dicom(start):
            try:
                headers.append(_read_header(path, start[128:] == b"DICM" or is_named_dicom))
            except _SkippedError:
                continue
            except Exception as error:  # a damaged file can raise anything, and the text of it may quote the header
                unreadable[path] = f"a damaged DICOM file, {type(error).__name__}"
        elif start and is_named_dicom:
            unreadable[path] = "not DICOM"
    return headers, unreadable


class _SkippedError(Exception):
    """A file turned out not to be DICOM."""


def _read_header(path: pathlib.Path, is_certain: bool) -> Header:
    with quiet():
        dataset = read_dataset(path, stop_before_pixels=True, specific_tags=[*dict.fromkeys(_READ)])
        for element in dataset:  # values are converted when first used: better here than later
            element.value  # noqa: B018
    is_ct = _CT_IMAGE in (dataset.file_meta.get("MediaStorageSOPClassUID"), dataset.get("SOPClassUID"))
    if not is_certain and not dataset.get("SOPClassUID"):
        raise _SkippedError
    if is_ct and not all(dataset.get(key) for key in _NEEDED):
        raise EOFError
    return Header(path, dataset)


def _instead_of_ct(headers: list[Header]) -> str:
    if any(header.dataset.get("SOPClassUID") in _ENHANCED_CT for header in headers):
        return "only multi-frame (enhanced) CT; convert it to single-frame CT images"
    return "no CT image"


def _is_ct_slice(dataset: pydicom.Dataset) -> bool:
    is_ct = all(dataset.get(key) for key in _NEEDED) and dataset.SOPClassUID == _CT_IMAGE
    return is_ct and "LOCALIZER" not in (dataset.get("ImageType") or ())


def _series(folder: pathlib.Path, uid: str, headers: list[Header], damage: str | None) -> Series:
    instances: dict[str, Header] = {}
    for header in headers:
        other = instances.setdefault(str(header.dataset.SOPInstanceUID), header)
        if other is not header and not _are_copies(header, other):
            damage = "different images have one SOPInstanceUID; export the series again"
    number = headers[0].dataset.get("SeriesNumber")
    words = identifying_words(headers[0].dataset)
    return Series(
        folder=folder,
        uid=uid,
        number=None if number is None else int(number),
        headers=tuple(instances.values()),
        name=safe_name(folder.resolve().name, words, uid),
        where=safe_name(str(folder), words, uid),
        damage=damage,
    )


def _numbered(series: Series, found: list[Series]) -> str:
    """Return a name that no other series of the folder has: with the series' number, or a digest of its UID."""
    alone = [one.number for one in found].count(series.number) == 1
    return f"{series.name}_{series.number if alone and series.number is not None else uid_digest(series.uid)}"


def _unreadable(unreadable: dict[pathlib.Path, str], words: set[str] | None) -> str:
    """Describe unreadable files; name those whose names are known to name no patient."""
    said = [
        reason if words is None or names_patient(path.name, words) else f"{path.name}: {reason}"
        for path, reason in unreadable.items()
    ]
    return f"{len(said)} unreadable ({'; '.join(said[:3])}{'; ...' if said[3:] else ''})"


def _are_copies(header: Header, other: Header) -> bool:
    """Return whether two files hold the same image: position and pixels agree."""
    with quiet():
        one, two = read_dataset(header.path), read_dataset(other.path)
    return all(one.get(key) == two.get(key) for key in ("ImagePositionPatient", "PixelData"))


def _checked_numbers(where: str, headers: tuple[Header, ...]) -> dict[str, np.ndarray]:
    """Return {keyword: float64 [images, values]}; refuse images without them and images that do not match."""
    numbers = {}
    for key, (count, name) in _NUMBERS.items():
        rows = [_numbers(header, key) for header in headers]
        for header, values in zip(headers, rows, strict=True):
            if len(values) != count or not np.isfinite(values).all() or (key == "PixelSpacing" and min(values) <= 0):
                raise InputError(where, f"{_which(header)} has no usable {name} ({key})")
        numbers[key] = np.array(rows)
        if key in _ALIKE and np.abs(numbers[key] - rows[0]).max() > _ALIKE[key]:
            raise InputError(where, f"the images of the series differ in {name} ({key})")
    row, column = numbers["ImageOrientationPatient"][0].reshape(2, 3)
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-2):
        raise InputError(where, "no usable orientation (ImageOrientationPatient)")
    for header in headers:
        if str(header.dataset.get("RescaleType") or "HU").upper() != "HU":
            raise InputError(where, f"{_which(header)} is rescaled to another unit than HU (RescaleType)")
        if header.dataset.get("SamplesPerPixel", 1) != 1:
            raise InputError(where, f"{_which(header)} is a color picture")
    return numbers


def _numbers(header: Header, key: str) -> np.ndarray:
    value = header.dataset.get(key)
    return np.zeros(0) if value is None or isinstance(value, str) else np.atleast_1d(np.asarray(value, np.float64))


def _which(header: Header) -> str:
    number = header.dataset.get("InstanceNumber")
    return "an image" if number is None else f"image {int(number)}"


def _check_acquisitions(where: str, numbers: list[Any]) -> None:
    """Refuse acquisitions that alternate along the patient; stations one after another are one scan."""
    changes = sum(one != other for one, other in itertools.pairwise(numbers))
    if 1 < len(set(numbers)) <= changes:
        listed = ", ".join(sorted(map(str, set(numbers)))[:5])
        raise InputError(where, f"overlapping acquisitions in one series (AcquisitionNumber {listed}); separate them")


def _no_volume(positions: np.ndarray, normal: np.ndarray, is_regular: bool) -> str | None:
    """Return why sorted positions [images, 3] make no volume, or None."""
    heights = positions @ normal
    distances = np.diff(heights)
    usual = float(np.median(distances))
    if usual <= 0 or distances.min() < 0.01 * usual:
        count = int((distances < max(0.01 * usual, 1e-3)).sum())
        return f"two images are at one place, {count} times over: several scans in one series?"
    if not is_regular:
        gap = int(distances.argmax())
        missing = round(float(distances[gap]) / usual) - 1
        if missing and abs(distances[gap] / usual - missing - 1) < 0.25:
            said = "a slice is missing" if missing == 1 else f"{missing} slices are missing"
            return f"{said} between {heights[gap]:.1f} and {heights[gap + 1]:.1f} mm, others are {usual:.2f} mm apart"
        return f"slices are {distances.min():.2f} to {distances.max():.2f} mm apart, must be evenly spaced"
    step = (positions[-1] - positions[0]) / len(distances)
    along = step @ normal
    tilt = np.degrees(np.arctan2(np.linalg.norm(step - along * normal), along))
    if tilt > MAX_TILT_DEGREES:
        return f"the gantry was tilted by {tilt:.1f} degrees; resample the series upright first"
    aside = positions - positions[0] - np.arange(len(positions))[:, None] * step
    aside -= np.outer(aside @ normal, normal)
    if np.linalg.norm(aside, axis=1).max() > MAX_SHIFT_MM:
        return "slices are shifted against each other within their plane"
    return None


def _incomplete(headers: tuple[Header, ...]) -> tuple[str, ...]:
    """Return a warning that names the elements which a DICOM SEG repeats and the images lack."""
    missing = [key for key in COPIED_TO_SEG if any(key not in header.dataset for header in headers)]
    return (f"the images lack {', '.join(missing)}; a DICOM SEG fills them",) if missing else ()


def _hu(where: str, path: pathlib.Path) -> np.ndarray:
    """Return the HU of an image, whole numbers where the rescale keeps them whole."""
    from pydicom.pixels import apply_rescale

    syntax = "unknown transfer syntax"
    try:
        with quiet():
            dataset = read_dataset(path)
            syntax = dataset.file_meta.TransferSyntaxUID.name
            stored = dataset.pixel_array
            slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
            whole = slope.is_integer() and intercept.is_integer()
            values = stored.astype(np.int32) * int(slope) + int(intercept) if whole else apply_rescale(stored, dataset)
            padding = dataset.get("PixelPaddingValue")
            if padding is not None:
                # Signed and unsigned numbers are mixed up in practice: compare as the pixels are stored.
                ends = np.array([padding, dataset.get("PixelPaddingRangeLimit", padding)]).astype(stored.dtype)
                values[(stored >= ends.min()) & (stored <= ends.max())] = AIR_HU
    except Exception as error:  # decoders raise anything, and the text of it may quote the header
        reason = f"pixels of an image cannot be decoded ({syntax}, {type(error).__name__})"
        raise InputError(where, reason) from None
    if not np.isfinite(values).all():
        raise InputError(where, "holds NaN or infinite values")
    return values
