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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kits_tf.errors import InputError, UsageError
from kits_tf.io.privacy import IDENTIFIERS, identifying_words, names_patient, quiet, safe_name, safe_path, uid_digest
from kits_tf.io.volume import Grid, Volume, fits_int16, oblique_warnings, stored_orientation, to_working, working_grid
from kits_tf.progress import counted

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

_DAMAGED = "a damaged DICOM file"
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
_MODALITIES = ("MR", "PT", "NM", "US", "XA", "DX", "CR", "RF", "MG", "OT")  # named in messages
_OTHERS = (
    *("Modality", "SeriesNumber", "SeriesDescription", "InstanceNumber", "AcquisitionNumber"),
    *("ImageType", "RescaleType"),
)
_READ = [*_NEEDED, *_NUMBERS, *IDENTIFIERS, *COPIED_TO_SEG, *_OTHERS]
_SUFFIX = re.compile(r".*\.(dcm|dicom|ima)", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[^.]*|.*\.\d+")  # exports without a suffix, or named by UIDs


@dataclasses.dataclass(frozen=True)
class Series:
    """One CT series.

    Attributes:
        uid: Series Instance UID.
        number: Series Number, or None.
        headers: its images without pixels, in no order, each instance once.
        name: the folder's name, with the series' number where there are several; names no patient.
        where: what messages call it: its folder, with a digest for each part of the path that names the patient.
        damage: why it must not be segmented, or None.
        description: Series Description, "" if it names the patient.
    """

    uid: str
    number: int | None
    headers: tuple[pydicom.Dataset, ...] = dataclasses.field(repr=False)
    name: str
    where: str
    damage: str | None = None
    description: str = ""

    def describe(self) -> str:
        """Return a line such as "series 3: 88 images of 512x512"."""
        size = "x".join(str(self.headers[0].get(key)) for key in ("Rows", "Columns"))
        number = "without a number" if self.number is None else self.number
        return f"series {number}: {counted(len(self.headers), 'image')} of {size}"


class Skipped(NamedTuple):
    """A series that is no CT volume: where, number, kind and images in a line, and its files."""

    text: str
    paths: tuple[Path, ...]


class Tree(NamedTuple):
    """The series of a folder and those below it; `fault` is why there is no CT to segment, if so.

    `lost` names damaged files in folders without a series, if there are any beside other series.
    """

    series: list[Series]
    skipped: list[Skipped]
    fault: InputError | None
    lost: InputError | None = None


@dataclasses.dataclass(frozen=True)
class Stack:
    """The images of a series as a volume, sorted so that slices, rows and columns are right-handed."""

    headers: tuple[pydicom.Dataset, ...]
    slice_mm: float
    orientation: np.ndarray  # nibabel's [3, 2], of (slices, rows, columns) as they are stored
    grid: Grid


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM: with a preamble and DICM, or at once with group 2 or 8."""
    start = _start(path)
    return start[128:] == b"DICM" or (start[:2] in (b"\x02\x00", b"\x08\x00") and start[2:4] < b"\x19\x00")


def holds_dicom(folder: str | os.PathLike) -> bool:
    """Return whether a folder or one below it holds a DICOM file."""
    return any(is_dicom(path) for path in _files(Path(folder), {}))


def find_series(folder: str | os.PathLike) -> list[Series]:
    """Return the CT series of `read_tree`.

    Raises:
        UsageError: pydicom or highdicom is not installed.
        InputError: there is no CT image, or no series without damage.
    """
    tree = read_tree(folder)
    if tree.fault:
        raise tree.fault
    return tree.series


def read_tree(folder: str | os.PathLike) -> Tree:
    """Find the CT series in a folder and below it, linked folders included, by number.

    Localizers, other images and second copies of an image are passed over. Files that cannot be read make the series
    in their folder or above it unusable (`Series.damage`), since slices may be missing. Raises UsageError if pydicom
    or highdicom is not installed.
    """
    try:
        import highdicom  # noqa: F401
        import pydicom  # noqa: F401
    except ImportError:
        raise UsageError("input", "a DICOM series needs this package's extra `dicom` (pydicom, highdicom)") from None
    folder = Path(folder)
    headers, unreadable, lacking = _read_headers(folder)
    words = set[str]().union(*map(identifying_words, headers))
    cts: dict[str, list[pydicom.Dataset]] = {}
    others: dict[str, list[pydicom.Dataset]] = {}
    for header in headers:
        is_ct = header.SOPClassUID == _CT_IMAGE and not _is_localizer(header) and not _other_modality(header)
        (cts if is_ct else others).setdefault(str(header.get("SeriesInstanceUID", "")), []).append(header)
    skipped = [_skipped(images) for images in others.values()]
    if not cts:
        is_safe = headers and not names_patient(str(folder), words)
        what = "no CT image"
        if unreadable:
            what = _listed(unreadable, words if headers else None)
        elif any(header.SOPClassUID in _ENHANCED_CT for header in headers):
            what = "only multi-frame (enhanced) CT; convert it to single-frame CT images"
        elif modalities := {_other_modality(header) for header in headers if header.SOPClassUID == _CT_IMAGE} - {""}:
            what = f"no CT image, but {', '.join(sorted(modalities))} stored as CT (Modality)"
        return Tree([], skipped, InputError(folder if is_safe else "the folder of DICOM files", f"holds {what}"))
    found, stray = [], {path: reason for path, reason in unreadable.items() if reason.startswith(_DAMAGED)}
    for uid, images in cts.items():
        own = _own_folder(images)
        beside = {path: reason for path, reason in unreadable.items() if path.is_relative_to(own)}
        stray = {path: reason for path, reason in stray.items() if path not in beside}
        damage = f"holds {_listed(beside, words)}; slices may be missing" if beside else None
        if keys := {key for image in images for key in lacking.get(Path(image.filename), ())}:
            damage = f"holds CT images without {', '.join(sorted(keys))}; export them again"
        found.append(_series(folder, uid, images, damage))
    fault = InputError(found[0].where, found[0].damage) if all(one.damage for one in found) else None
    if len(found) > 1:
        numbers = [one.number for one in found]
        ends = [uid_digest(one.uid) if numbers.count(one.number) > 1 else one.number for one in found]
        found = [dataclasses.replace(one, name=f"{one.name}_{end}") for one, end in zip(found, ends, strict=True)]
    found.sort(key=lambda series: (series.number is None, series.number, series.uid))
    where = "the folder of DICOM files" if names_patient(str(folder), words) else folder
    lost = InputError(where, f"holds {_listed(stray, words)}") if stray else None
    return Tree(found, skipped, fault, lost)


def choose(series: Sequence[Series], wanted: str | None = None) -> Series:
    """Return the series with a Series Number or Series Instance UID, or the only one; UsageError unless one fits."""
    chosen = [one for one in series if not wanted or wanted in (str(one.number), one.uid)]
    if len(chosen) == 1:
        return chosen[0]
    listed = "; ".join(one.describe() for one in series[:20])
    hint = "; name it by its Series Instance UID" if chosen and wanted else ""
    raise UsageError("series", f"must be one of the series in {series[0].where}: {listed}{hint}")


def read_series(series: Series) -> Volume:
    """Read a series as a CT on the working axes in HU, padding as air; InputError as in `stack` or for bad pixels."""
    ordered = stack(series)
    first, grid = ordered.headers[0], ordered.grid
    hu = np.empty((len(ordered.headers), first.Rows, first.Columns), np.int16)
    for number, header in enumerate(ordered.headers):
        image = _hu(series.where, header.filename)
        if hu.dtype == np.int16 and not fits_int16(image):
            hu = hu.astype(np.float32)
        hu[number] = image
    hu = np.ascontiguousarray(to_working(hu, ordered.orientation))
    return Volume(hu, grid.spacing_mm, grid.affine, warnings=grid.warnings, instances=grid.instances)


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
    acquisitions = [header.get("AcquisitionNumber") for header in headers]
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
    missing = [key for key in COPIED_TO_SEG if any(key not in header for header in headers)]
    warnings = [f"the images lack {', '.join(missing)}; a DICOM SEG fills them"] if missing else []
    grid = working_grid(affine, shape, orientation)
    grid = dataclasses.replace(grid, warnings=(*warnings, *oblique_warnings(grid.affine)))
    grid = dataclasses.replace(grid, instances=_instances(headers, orientation))
    return Stack(headers, float(slice_mm), orientation, grid)


def _instances(headers: tuple[pydicom.Dataset, ...], orientation: np.ndarray) -> tuple[int, ...]:
    """Return the Instance Number of each slice on the working axes; none if one lacks it or slices are not axial."""
    numbers = [header.get("InstanceNumber") for header in headers]
    if orientation[0, 0] != 2 or any(number is None for number in numbers):
        return ()
    return tuple(int(number) for number in (numbers if orientation[0, 1] < 0 else numbers[::-1]))


def read_dataset(path: str | os.PathLike, **options: Any) -> pydicom.Dataset:
    """Read a DICOM file as `pydicom.dcmread` does, even without preamble and file meta information."""
    import pydicom

    dataset = pydicom.dcmread(path, force=True, **options)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, explicit = pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = implicit if dataset.original_encoding[0] else explicit
    return dataset


def _start(path: Path) -> bytes:
    """Return a file's first bytes; empty if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(132)
    except OSError:
        return b""


def _files(folder: Path, unreadable: dict[Path, str]) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, each once; note folders that cannot be read."""
    seen = set()
    walk = os.walk(folder, True, lambda error: unreadable.setdefault(Path(error.filename), "cannot be read"), True)
    for parent, folders, names in walk:
        if os.path.realpath(parent) in seen:  # a link in a circle
            folders.clear()
            continue
        seen.add(os.path.realpath(parent))
        folders.sort()
        paths = (Path(parent, name) for name in sorted(names) if not name.startswith("."))
        yield from (path for path in paths if path.is_file() or path.is_symlink())


def _read_headers(folder: Path) -> tuple[list[pydicom.Dataset], dict[Path, str], dict[Path, list[str]]]:
    """Return the headers of all DICOM files in a folder and below it, and {path: reason} of unreadable ones.

    Also {path: keywords} of what CT images lack to be told apart; it is filled by folder and file.
    """
    import pydicom

    headers: list[pydicom.Dataset] = []
    unreadable: dict[Path, str] = {}
    lacking: dict[Path, list[str]] = {}
    for path in _files(folder, unreadable):
        start, is_named_dicom = _start(path), bool(_SUFFIX.fullmatch(path.name))
        if not start and (is_named_dicom or _PLAIN_NAME.fullmatch(path.name)):
            unreadable[path] = "empty or not readable"
        elif not is_dicom(path):
            if start and is_named_dicom:
                unreadable[path] = "not DICOM"
        else:
            try:
                with quiet():
                    dataset = read_dataset(path, stop_before_pixels=True, specific_tags=_READ)
                    for element in dataset:  # values are converted when first used: better here than later
                        element.value  # noqa: B018
                is_ct = _CT_IMAGE in (dataset.file_meta.get("MediaStorageSOPClassUID"), dataset.get("SOPClassUID"))
                is_ct = is_ct or (dataset.get("Modality") == "CT" and not dataset.get("SOPClassUID"))
                if is_ct and (missing := [key for key in _NEEDED if not dataset.get(key)]):
                    if "Rows" not in dataset:  # which comes later in a file
                        raise EOFError
                    lacking[path] = missing
                    fill = {"SOPInstanceUID": path, "SeriesInstanceUID": path.parent}
                    uids = {key: pydicom.uid.generate_uid(entropy_srcs=[str(of)]) for key, of in fill.items()}
                    for key in missing:
                        setattr(dataset, key, (uids | {"SOPClassUID": _CT_IMAGE})[key])
            except Exception as error:  # a damaged file can raise anything, and the text of it may quote the header
                unreadable[path] = f"{_DAMAGED}, {type(error).__name__}"
                continue
            if dataset.get("SOPClassUID"):
                headers.append(dataset)
    return headers, unreadable, lacking


def _listed(unreadable: dict[Path, str], words: set[str] | None) -> str:
    """Describe unreadable files; name those whose names are known to name no patient."""
    said = [
        reason if words is None or names_patient(path.name, words) else f"{path.name}: {reason}"
        for path, reason in unreadable.items()
    ]
    return f"{len(said)} unreadable ({'; '.join(said[:3])}{'; ...' if said[3:] else ''})"


def _is_localizer(header: pydicom.Dataset) -> bool:
    return "LOCALIZER" in (header.get("ImageType") or ())


def _other_modality(header: pydicom.Dataset) -> str:
    """Return the Modality of an image that claims to be no CT, "" for all others."""
    modality = str(header.get("Modality") or "CT")
    if modality == "CT":
        return ""
    return modality if modality in _MODALITIES else "another modality"


def _own_folder(images: Sequence[pydicom.Dataset]) -> Path:
    """Return the folder that holds all images of a series."""
    return Path(os.path.commonpath([os.path.dirname(image.filename) for image in images]))


def _skipped(images: Sequence[pydicom.Dataset]) -> Skipped:
    """Describe a series that is no CT volume without naming the patient."""
    first = images[0]
    kind = "localizer" if _is_localizer(first) else first.SOPClassUID.name.removesuffix(" Storage")
    if first.SOPClassUID == _CT_IMAGE and (modality := _other_modality(first)):
        kind = f"{modality} stored as {kind}"
    where = safe_path(_own_folder(images), identifying_words(first), str(first.get("SeriesInstanceUID", "")))
    number = "without a number" if first.get("SeriesNumber") is None else first.SeriesNumber
    text = f"{where}: series {number}, {kind} ({counted(len(images), 'image')})"
    return Skipped(text, tuple(Path(image.filename) for image in images))


def _series(folder: Path, uid: str, headers: list[pydicom.Dataset], damage: str | None) -> Series:
    """Return a series without duplicates of an image: same instance, position and pixels."""
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


def _checked_numbers(where: str, headers: tuple[pydicom.Dataset, ...]) -> dict[str, np.ndarray]:
    """Return {keyword: float64 [images, values]}; refuse images without them and images that do not match."""
    arrays = {key: np.full((len(headers), count), np.nan) for key, (count, _, _) in _NUMBERS.items()}
    for row, header in enumerate(headers):
        image = f"image {header.get('InstanceNumber') or 'without a number'}"
        for key, (count, name, _) in _NUMBERS.items():
            value = header.get(key)
            values = np.zeros(0) if value is None or isinstance(value, str) else np.atleast_1d(value).astype(float)
            if len(values) != count or not np.isfinite(values).all() or (key == "PixelSpacing" and min(values) <= 0):
                raise InputError(where, f"{image} has no usable {name} ({key})")
            arrays[key][row] = values
        if str(header.get("RescaleType") or "HU").upper() != "HU":
            raise InputError(where, f"{image} is rescaled to another unit than HU (RescaleType)")
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
    if count := int((distances < max(0.01 * usual, 1e-3)).sum()):
        return f"two images are at one place, {count} times over: several scans in one series?"
    if not is_regular:
        gap = int(distances.argmax())
        if missing := round(float(distances[gap]) / usual) - 1:
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


def _hu(where: str, path: str | os.PathLike) -> np.ndarray:
    """Return the HU of an image, whole numbers where the rescale keeps them whole."""
    syntax = "unknown transfer syntax"
    try:
        with quiet():
            dataset = read_dataset(path)
            syntax = dataset.file_meta.TransferSyntaxUID.name
            stored = dataset.pixel_array.reshape(dataset.Rows, dataset.Columns)
            scale = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
            slope, intercept = (int(value) if value.is_integer() else value for value in scale)
            values = stored.astype(np.int32) * slope + intercept
            padding = dataset.get("PixelPaddingValue")
            if padding is not None:  # compared as the pixels are stored: its sign is often wrong
                ends = np.array([padding, dataset.get("PixelPaddingRangeLimit", padding)]).astype(stored.dtype)
                values[(stored >= ends.min()) & (stored <= ends.max())] = AIR_HU
    except Exception as error:  # decoders raise anything, and the text of it may quote the header
        raise InputError(where, f"pixels of an image cannot be decoded ({syntax}, {type(error).__name__})") from None
    return values
