"""DICOM CT series: found by their headers, sorted by position, read as volumes. Needs the extra `dicom`.

Messages name the folder that the user named and images by their number, never text from a header, since it may name
a patient. Slices are decoded one by one: `highdicom.get_volume_from_series` holds four copies of a CT and refuses
series without a Frame of Reference, so only its test of positions is used.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kits_tf.errors import InputError, UsageError
from kits_tf.io.privacy import IDENTIFIERS, identifying_words, names_patient, quiet, safe_name, uid_digest
from kits_tf.io.volume import Grid, Volume, fits_int16, stored_orientation, to_working, working_grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pydicom

MAX_TILT_DEGREES = 0.5  # of slices sheared against each other by a tilted gantry
MAX_UNEVENNESS = 0.05  # how much of the mean distance between slices a distance may differ from it
MAX_SHIFT_MM = 1.0  # of a slice within its plane
AIR_HU = -1024  # of the padding around the reconstructed circle

COPIED_TO_SEG = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "StudyInstanceUID", "FrameOfReferenceUID", "SliceThickness",
)  # fmt: skip
"""Elements of the images that a DICOM SEG repeats; those that are missing are filled."""

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
_NUMBERS = {  # how many values each has, what it is called, and by how much the images of a series may differ
    "ImagePositionPatient": (3, "position", np.inf),
    "ImageOrientationPatient": (6, "orientation", 1e-3),
    "PixelSpacing": (2, "pixel spacing", 1e-3),
    "Rows": (1, "size", 0),
    "Columns": (1, "size", 0),
    "RescaleSlope": (1, "rescale to HU", np.inf),
    "RescaleIntercept": (1, "rescale to HU", np.inf),
}
_READ = {
    *_NEEDED, *_NUMBERS, *IDENTIFIERS, *COPIED_TO_SEG, "SeriesNumber", "InstanceNumber", "AcquisitionNumber",
    "ImageType", "RescaleType", "SamplesPerPixel",
}  # fmt: skip
_SUFFIX = re.compile(r".*\.(dcm|dicom|ima)", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[^.]*|.*\.\d+")  # exports without a suffix, or named by UIDs


@dataclasses.dataclass(frozen=True)
class Header:
    """One image's file and the elements of its header that are used, without pixels."""

    path: Path
    dataset: pydicom.Dataset = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Series:
    """One CT series.

    Attributes:
        folder: the folder that was searched.
        uid: Series Instance UID.
        number: Series Number, or None.
        headers: its images in no order, each instance once.
        name: name for its output files: the folder's name, with the series' number where there are several; names no
            patient.
        where: what messages call it: the folder, or if its path names the patient, a digest.
        damage: why it must not be segmented, or None.
    """

    folder: Path
    uid: str
    number: int | None
    headers: tuple[Header, ...] = dataclasses.field(repr=False)
    name: str
    where: str
    damage: str | None = None

    def describe(self) -> str:
        """Return a line such as "series 3: 88 images of 512x512"."""
        size = "x".join(str(self.headers[0].dataset.get(key)) for key in ("Rows", "Columns"))
        number = "without a number" if self.number is None else self.number
        return f"series {number}: {len(self.headers)} image{'s'[: len(self.headers) - 1]} of {size}"


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


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM: with a preamble and DICM, or at once with group 2 or 8."""
    start = _start(path)
    return start[128:] == b"DICM" or (start[:2] in (b"\x02\x00", b"\x08\x00") and start[2:4] < b"\x19\x00")


def holds_dicom(folder: str | os.PathLike) -> bool:
    """Return whether a folder or one below it holds a DICOM file."""
    return any(is_dicom(path) for path in _files(Path(folder), {}))


def find_series(folder: str | os.PathLike) -> list[Series]:
    """Find the CT series in a folder and below it, linked folders included.

    Localizers, other images and second copies of an image are passed over. Files that cannot be read make the series
    beside them unusable (`Series.damage`), since slices may be missing.

    Returns:
        The series, by number.

    Raises:
        UsageError: pydicom or highdicom is not installed.
        InputError: there is no CT image, or no series without damage.
    """
    try:
        import highdicom  # noqa: F401
        import pydicom  # noqa: F401
    except ImportError:
        raise UsageError("input", "a DICOM series needs this package's extra `dicom` (pydicom, highdicom)") from None
    folder = Path(folder)
    headers, unreadable = _read_headers(folder)
    words = set[str]().union(*(identifying_words(header.dataset) for header in headers))
    by_uid: dict[str, list[Header]] = {}
    for header in headers:
        is_ct = header.dataset.get("SOPClassUID") == _CT_IMAGE
        if is_ct and "LOCALIZER" not in (header.dataset.get("ImageType") or ()):
            by_uid.setdefault(str(header.dataset.SeriesInstanceUID), []).append(header)
    if not by_uid:
        is_safe = headers and not names_patient(str(folder), words)
        what = "no CT image"
        if any(header.dataset.get("SOPClassUID") in _ENHANCED_CT for header in headers):
            what = "only multi-frame (enhanced) CT; convert it to single-frame CT images"
        what = _listed(unreadable, words if headers else None) if unreadable else what
        raise InputError(folder if is_safe else "the folder of DICOM files", f"holds {what}")
    parents = {parent for header in headers for parent in header.path.parents}
    places = {path: next(parent for parent in path.parents if parent in parents) for path in unreadable}
    found = []
    for uid, images in by_uid.items():
        own = {parent for header in images for parent in header.path.parents}
        beside = {path: reason for path, reason in unreadable.items() if places[path] in own}
        damage = f"holds {_listed(beside, words)}; slices may be missing" if beside else None
        found.append(_series(folder, uid, images, damage))
    if all(one.damage for one in found):
        raise InputError(found[0].where, found[0].damage)
    if len(found) > 1:
        numbers = [one.number for one in found]
        own_number = [None if numbers.count(number) > 1 else number for number in numbers]
        names = [uid_digest(one.uid) if n is None else n for one, n in zip(found, own_number, strict=True)]
        found = [dataclasses.replace(one, name=f"{one.name}_{n}") for one, n in zip(found, names, strict=True)]
    return sorted(found, key=lambda series: (series.number is None, series.number, series.uid))


def choose(series: Sequence[Series], wanted: str | None = None) -> Series:
    """Return the one series with a Series Number or Series Instance UID, or the only one.

    Raises:
        UsageError: there are several, or none is wanted; the message lists them.
    """
    chosen = [one for one in series if not wanted or wanted in (str(one.number), one.uid)]
    if len(chosen) == 1:
        return chosen[0]
    listed = "; ".join(one.describe() for one in series[:20])
    hint = "; name it by its Series Instance UID" if chosen and wanted else ""
    raise UsageError("series", f"must be one of the series in {series[0].where}: {listed}{hint}")


def read_series(series: Series) -> Volume:
    """Read a series as a CT on the working axes, its affine in RAS mm.

    Stored numbers are rescaled to HU, padding becomes air. GDCM, pyjpegls or pydicom decode compressed images.

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
    hu = np.ascontiguousarray(to_working(np.asarray(hu), ordered.orientation))
    return Volume(hu, ordered.grid.spacing_mm, ordered.grid.affine, warnings=ordered.grid.warnings)


def stack(series: Series) -> Stack:
    """Sort the images of a series by position.

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
    axes = numbers["ImageOrientationPatient"][0]
    normal = np.cross(axes[3:], axes[:3])  # so that slices, rows and columns are right-handed
    order = np.argsort(numbers["ImagePositionPatient"] @ normal, kind="stable")
    headers = tuple(series.headers[i] for i in order)
    acquisitions = [header.dataset.get("AcquisitionNumber") for header in headers]
    if 1 < len(set(acquisitions)) <= sum(one != other for one, other in itertools.pairwise(acquisitions)):
        said = ", ".join(sorted(map(str, set(acquisitions)))[:5])
        raise InputError(where, f"overlapping acquisitions in one series (AcquisitionNumber {said}); separate them")
    positions = numbers["ImagePositionPatient"][order]
    slice_mm, _ = get_volume_positions(positions, axes, rtol=MAX_UNEVENNESS, perpendicular_tol=1.0)
    fault = _no_volume(positions, normal, slice_mm is not None)
    if fault or slice_mm is None:
        raise InputError(where, fault)
    row_mm, column_mm = numbers["PixelSpacing"][0]
    affine = np.eye(4)
    affine[:3] = np.stack([normal * slice_mm, axes[3:] * row_mm, axes[:3] * column_mm, positions[0]], axis=1)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # from LPS to RAS
    orientation = stored_orientation(where, affine)
    shape = len(headers), int(numbers["Rows"][0, 0]), int(numbers["Columns"][0, 0])
    missing = [key for key in COPIED_TO_SEG if any(key not in header.dataset for header in headers)]
    warnings = (f"the images lack {', '.join(missing)}; a DICOM SEG fills them",) if missing else ()
    grid = dataclasses.replace(working_grid(affine, shape, orientation), warnings=warnings)
    is_whole = not any((numbers[key] % 1).any() for key in ("RescaleSlope", "RescaleIntercept"))
    return Stack(headers, float(slice_mm), orientation, grid, is_whole)


def read_dataset(path: Path, **options: Any) -> pydicom.Dataset:
    """Read a DICOM file as `pydicom.dcmread` does, even without preamble and file meta information."""
    import pydicom

    dataset = pydicom.dcmread(path, force=True, **options)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, explicit = pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = implicit if dataset.original_encoding[0] else explicit
    return dataset


def _start(path: Path) -> bytes:
    """Return a file's first bytes; none where it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(132)
    except OSError:
        return b""


def _files(folder: Path, unreadable: dict[Path, str]) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, each once; note folders that cannot be read."""
    seen = set()

    def note(error: OSError) -> None:
        unreadable[Path(error.filename)] = "cannot be read"

    for parent, folders, names in os.walk(folder, followlinks=True, onerror=note):
        if os.path.realpath(parent) in seen:  # a link in a circle
            folders.clear()
            continue
        seen.add(os.path.realpath(parent))
        folders.sort()
        paths = (Path(parent, name) for name in sorted(names) if not name.startswith("."))
        yield from (path for path in paths if path.is_file() or path.is_symlink())


def _read_headers(folder: Path) -> tuple[list[Header], dict[Path, str]]:
    """Return the headers of all DICOM files in a folder and below it, and {path: reason} of unreadable ones."""
    headers: list[Header] = []
    unreadable: dict[Path, str] = {}
    for path in _files(folder, unreadable):
        start = _start(path)
        is_named_dicom = bool(_SUFFIX.fullmatch(path.name))
        is_certain = is_named_dicom or start[128:] == b"DICM"
        if not start and (is_named_dicom or _PLAIN_NAME.fullmatch(path.name)):
            unreadable[path] = "empty or not readable"
        elif start and is_named_dicom and not is_dicom(path):
            unreadable[path] = "not DICOM"
        elif start and is_dicom(path):
            try:
                with quiet():
                    dataset = read_dataset(path, stop_before_pixels=True, specific_tags=list(_READ))
                    for element in dataset:  # values are converted when first used: better here than later
                        element.value  # noqa: B018
                is_ct = _CT_IMAGE in (dataset.file_meta.get("MediaStorageSOPClassUID"), dataset.get("SOPClassUID"))
                if is_ct and not all(dataset.get(key) for key in _NEEDED):
                    raise EOFError
            except Exception as error:  # a damaged file can raise anything, and the text of it may quote the header
                unreadable[path] = f"a damaged DICOM file, {type(error).__name__}"
                continue
            if is_certain or dataset.get("SOPClassUID"):
                headers.append(Header(path, dataset))
    return headers, unreadable


def _listed(unreadable: dict[Path, str], words: set[str] | None) -> str:
    """Describe unreadable files; name those whose names are known to name no patient."""
    said = [
        reason if words is None or names_patient(path.name, words) else f"{path.name}: {reason}"
        for path, reason in unreadable.items()
    ]
    return f"{len(said)} unreadable ({'; '.join(said[:3])}{'; ...' if said[3:] else ''})"


def _series(folder: Path, uid: str, headers: list[Header], damage: str | None) -> Series:
    """Return a series whose second copies of an image are left out: instance, position and pixels agree."""
    instances: dict[str, Header] = {}
    for header in headers:
        other = instances.setdefault(str(header.dataset.SOPInstanceUID), header)
        if other is not header:
            with quiet():
                images = [read_dataset(path) for path in (header.path, other.path)]
            if any(images[0].get(key) != images[1].get(key) for key in ("ImagePositionPatient", "PixelData")):
                damage = "different images have one SOPInstanceUID; export the series again"
    number = headers[0].dataset.get("SeriesNumber")
    words = identifying_words(headers[0].dataset)
    name, where = (safe_name(text, words, uid) for text in (folder.resolve().name, str(folder)))
    number = None if number is None else int(number)
    return Series(folder, uid, number, tuple(instances.values()), name, where, damage)


def _checked_numbers(where: str, headers: tuple[Header, ...]) -> dict[str, np.ndarray]:
    """Return {keyword: float64 [images, values]}; refuse images without them and images that do not match."""
    numbers: dict[str, list[np.ndarray]] = {}
    for header in headers:
        number = header.dataset.get("InstanceNumber")
        image = "an image" if number is None else f"image {int(number)}"
        for key, (count, name, _) in _NUMBERS.items():
            value = header.dataset.get(key)
            values = np.zeros(0) if value is None or isinstance(value, str) else np.atleast_1d(value).astype(float)
            if len(values) != count or not np.isfinite(values).all() or (key == "PixelSpacing" and min(values) <= 0):
                raise InputError(where, f"{image} has no usable {name} ({key})")
            numbers.setdefault(key, []).append(values)
        if str(header.dataset.get("RescaleType") or "HU").upper() != "HU":
            raise InputError(where, f"{image} is rescaled to another unit than HU (RescaleType)")
        if header.dataset.get("SamplesPerPixel", 1) != 1:
            raise InputError(where, f"{image} is a color picture")
    arrays = {key: np.array(rows) for key, rows in numbers.items()}
    for key, (_, name, tolerance) in _NUMBERS.items():
        if np.abs(arrays[key] - arrays[key][0]).max() > tolerance:
            raise InputError(where, f"the images of the series differ in {name} ({key})")
    axes = arrays["ImageOrientationPatient"][0].reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-2):
        raise InputError(where, "no usable orientation (ImageOrientationPatient)")
    return arrays


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
    tilt = np.degrees(np.arccos(min(1.0, step @ normal / np.linalg.norm(step))))
    if tilt > MAX_TILT_DEGREES:
        return f"the gantry was tilted by {tilt:.1f} degrees; resample the series upright first"
    aside = positions - positions[0] - np.arange(len(positions))[:, None] * step
    if np.linalg.norm(aside - np.outer(aside @ normal, normal), axis=1).max() > MAX_SHIFT_MM:
        return "slices are shifted against each other within their plane"
    return None


def _hu(where: str, path: Path) -> np.ndarray:
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
            if padding is not None:  # compared as the pixels are stored: its sign is often wrong
                ends = np.array([padding, dataset.get("PixelPaddingRangeLimit", padding)]).astype(stored.dtype)
                values[(stored >= ends.min()) & (stored <= ends.max())] = AIR_HU
    except Exception as error:  # decoders raise anything, and the text of it may quote the header
        raise InputError(where, f"pixels of an image cannot be decoded ({syntax}, {type(error).__name__})") from None
    if not np.isfinite(values).all():
        raise InputError(where, "holds NaN or infinite values")
    return values
