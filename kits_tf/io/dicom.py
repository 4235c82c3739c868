"""Read a DICOM CT series as a volume: sort its images by position and convert them to HU. Needs the extra `dicom`.

Messages give the folder that the user named and the numbers of images, never text from a header, which may name a
patient. Slices are decoded one by one: `highdicom.get_volume_from_series` holds four copies of a CT and refuses series
without a Frame of Reference, so only its check of positions is used.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from kits_tf.errors import InputError
from kits_tf.io.privacy import quiet
from kits_tf.io.volume import Grid, Volume, fits_int16, oblique_warnings, stored_orientation, to_working, working_grid
from kits_tf.progress import counted

if TYPE_CHECKING:
    import os

    import pydicom

MAX_TILT_DEGREES = 0.5  # of slices sheared against each other by a tilted gantry
MAX_UNEVENNESS = 0.05  # largest deviation of a slice distance, relative to the mean distance
MAX_SHIFT_MM = 1.0  # of a slice within its plane
AIR_HU = -1024  # of the padding around the reconstructed circle

COPIED_TO_SEG = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "StudyInstanceUID", "FrameOfReferenceUID", "SliceThickness",
)  # fmt: skip
"""Elements of the images that a DICOM SEG copies; missing ones are filled in."""
NUMBERS = {  # number of values, name in messages, largest difference between the images of a series
    "ImagePositionPatient": (3, "position", np.inf),
    "ImageOrientationPatient": (6, "orientation", 1e-3),
    "PixelSpacing": (2, "pixel spacing", 1e-3),
    "Rows": (1, "size", 0),
    "Columns": (1, "size", 0),
    "RescaleSlope": (1, "rescale to HU", np.inf),
    "RescaleIntercept": (1, "rescale to HU", np.inf),
}
"""Elements that give an image its position and its HU; all are required."""


@dataclasses.dataclass(frozen=True)
class Series:
    """One CT series.

    Attributes:
        uid: Series Instance UID.
        number: Series Number, or None.
        headers: its images without pixels, in no particular order, each instance once.
        name: the folder's name, with the series' number if there are several; never that of a patient.
        where: its folder, for messages, with a digest for each part of the path that names the patient.
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


@dataclasses.dataclass(frozen=True)
class Stack:
    """The images of a series as a volume, sorted so that slices, rows and columns are right-handed."""

    headers: tuple[pydicom.Dataset, ...]
    slice_mm: float
    orientation: np.ndarray  # nibabel's [3, 2] of the stored axes (slices, rows, columns)
    grid: Grid


def read_series(series: Series) -> Volume:
    """Read a series as a CT on the working axes, padding as air; InputError as in `stack`, or for bad pixels."""
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
        InputError: a file is damaged, a required element is missing, images differ in size, orientation or spacing,
            two have the same position, a slice is missing, acquisitions overlap, or the gantry was tilted.
    """
    from highdicom.spatial import get_volume_positions

    where = series.where
    if series.damage:
        raise InputError(where, series.damage)
    if len(series.headers) < 2:
        raise InputError(where, "holds one slice of the series; a volume must have at least two")
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
    warnings = (
        [f"the images lack {', '.join(missing)}; the DICOM SEG has empty or new values instead"] if missing else []
    )
    grid = working_grid(affine, shape, orientation)
    warnings += oblique_warnings(grid.affine)
    grid = dataclasses.replace(grid, warnings=tuple(warnings), instances=_instances(headers, orientation))
    return Stack(headers, float(slice_mm), orientation, grid)


def _instances(headers: tuple[pydicom.Dataset, ...], orientation: np.ndarray) -> tuple[int, ...]:
    """Return the Instance Number of each working slice; empty if an image has none or slices are not axial."""
    numbers = [header.get("InstanceNumber") for header in headers]
    if orientation[0, 0] != 2 or any(number is None for number in numbers):
        return ()
    return tuple(int(number) for number in (numbers if orientation[0, 1] < 0 else numbers[::-1]))


def read_dataset(path: str | os.PathLike, **options: Any) -> pydicom.Dataset:
    """Read a DICOM file by `pydicom.dcmread`, even without preamble and file meta information."""
    import pydicom

    dataset = pydicom.dcmread(path, force=True, **options)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, explicit = pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = implicit if dataset.original_encoding[0] else explicit
    return dataset


def _checked_numbers(where: str, headers: tuple[pydicom.Dataset, ...]) -> dict[str, np.ndarray]:
    """Return {keyword: float64 [images, values]} of `NUMBERS`; InputError for missing or inconsistent ones."""
    arrays = {key: np.full((len(headers), count), np.nan) for key, (count, _, _) in NUMBERS.items()}
    for row, header in enumerate(headers):
        image = f"image {header.get('InstanceNumber') or 'without a number'}"
        for key, (count, name, _) in NUMBERS.items():
            value = header.get(key)
            values = np.zeros(0) if value is None or isinstance(value, str) else np.atleast_1d(value).astype(float)
            if len(values) != count or not np.isfinite(values).all() or (key == "PixelSpacing" and min(values) <= 0):
                raise InputError(where, f"{image} has no usable {name} ({key})")
            arrays[key][row] = values
        if str(header.get("RescaleType") or "HU").upper() != "HU":
            raise InputError(where, f"{image} is not rescaled to HU (RescaleType)")
    for key, (_, name, tolerance) in NUMBERS.items():
        if np.abs(arrays[key] - arrays[key][0]).max() > tolerance:
            raise InputError(where, f"the images of the series differ in {name} ({key})")
    axes = arrays["ImageOrientationPatient"][0].reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-2):
        raise InputError(where, "no usable orientation (ImageOrientationPatient)")
    return arrays


def _no_volume(positions: np.ndarray, normal: np.ndarray, is_regular: bool) -> str | None:
    """Return why sorted positions [images, 3] do not form a volume, or None."""
    heights = positions @ normal
    distances = np.diff(heights)
    usual = float(np.median(distances))
    if count := int((distances < max(0.01 * usual, 1e-3)).sum()):
        return f"two images have the same position, {count} times: several scans in one series?"
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
    """Return the HU of an image, int32 if slope and intercept are whole numbers."""
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
            if padding is not None:  # compared in the type of the pixels, since its sign is often wrong
                ends = np.array([padding, dataset.get("PixelPaddingRangeLimit", padding)]).astype(stored.dtype)
                values[(stored >= ends.min()) & (stored <= ends.max())] = AIR_HU
    except Exception as error:  # decoders raise anything, and its message may quote the header
        raise InputError(where, f"pixels of an image cannot be decoded ({syntax}, {type(error).__name__})") from None
    return values
