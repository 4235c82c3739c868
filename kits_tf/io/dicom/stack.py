"""Images in the order in which they lie in the patient, refused where they do not make a volume."""

import dataclasses

import numpy as np

from kits_tf.errors import InputError

MAX_TILT_DEGREES = 0.5
"""Slices that are sheared further against each other are refused: a tilted gantry."""

MAX_UNEVENNESS = 0.05
"""How much of the usual distance between two slices another distance may differ from it."""

_SAME_PLACE = 0.01  # of the usual distance: two images closer than this lie at one place
_SAME_DIRECTION = 1e-3  # of a direction cosine


@dataclasses.dataclass(frozen=True)
class Stack:
    """Images that make a volume.

    Attributes:
        headers: `series.Header`s, along the normal of the slices that makes slices, rows and columns right-handed.
        position: LPS mm of the first image's first pixel.
        orientation: the six direction cosines of a row and a column.
        pixel_mm: (row, column) distances.
        slice_mm: distance between slices.
    """

    headers: tuple
    position: tuple
    orientation: tuple
    pixel_mm: tuple
    slice_mm: float

    @property
    def is_whole(self):
        """Whether the rescale to HU of every image leaves whole numbers whole."""
        keys = ("RescaleSlope", "RescaleIntercept")
        return all((_numbers(header, key) % 1 == 0).all() for header in self.headers for key in keys)


def stack(series):
    """Sorts a series by position.

    Args:
        series: a `series.Series`.

    Returns:
        A `Stack`.

    Raises:
        InputError: a header lacks what is needed, images differ in size, orientation or spacing, two lie at one place,
            a slice is missing, or the gantry was tilted.
    """
    where = series.where
    headers = series.headers
    if len(headers) < 2:
        raise InputError(where, "holds one slice of the series, a volume has two at least")
    _check_complete(where, headers)
    _check_alike(where, headers)
    orientation = _numbers(headers[0], "ImageOrientationPatient")
    normal = np.cross(orientation[3:], orientation[:3])  # so that slices, rows and columns are right-handed
    positions = np.array([_numbers(header, "ImagePositionPatient") for header in headers])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    slice_mm = _check_distances(where, positions @ normal)
    _check_tilt(where, positions, normal)
    return Stack(
        headers=tuple(headers[i] for i in order),
        position=tuple(positions[0]),
        orientation=tuple(orientation),
        pixel_mm=tuple(_numbers(headers[0], "PixelSpacing")),
        slice_mm=slice_mm,
    )


def _check_complete(where, headers):
    """Refuses images without a place, a spacing, a size or a way to HU."""
    needed = {
        "ImagePositionPatient": (3, "position"),
        "ImageOrientationPatient": (6, "orientation"),
        "PixelSpacing": (2, "pixel spacing"),
        "Rows": (1, "size"),
        "Columns": (1, "size"),
    }
    for header in headers:
        for key, (count, name) in needed.items():
            values = _numbers(header, key)
            if len(values) != count or not np.isfinite(values).all():
                raise InputError(where, f"{_which(header)} has no {name} ({key})")
        if min(_numbers(header, "PixelSpacing")) <= 0:
            raise InputError(where, f"{_which(header)} has no usable pixel spacing (PixelSpacing)")
        if header.dataset.get("RescaleSlope") is None or header.dataset.get("RescaleIntercept") is None:
            raise InputError(where, f"{_which(header)} has no rescale to HU (RescaleSlope, RescaleIntercept)")
        if str(header.dataset.get("RescaleType") or "HU").upper() != "HU":
            raise InputError(where, f"{_which(header)} is rescaled to another unit than HU (RescaleType)")
        if header.dataset.get("SamplesPerPixel", 1) != 1:
            raise InputError(where, f"{_which(header)} is a color picture")


def _check_alike(where, headers):
    """Refuses a series whose images differ in size, spacing or orientation."""
    first = headers[0]
    for header in headers[1:]:
        for keys, name, tolerance in (
            (("Rows", "Columns"), "size", 0),
            (("PixelSpacing",), "pixel spacing", 1e-3),
            (("ImageOrientationPatient",), "orientation", _SAME_DIRECTION),
        ):
            for key in keys:
                if np.abs(_numbers(header, key) - _numbers(first, key)).max() > tolerance:
                    raise InputError(where, f"the images of the series differ in {name}")


def _check_distances(where, heights):
    """The distance between slices; refuses two at one place, a gap, and uneven distances."""
    distances = np.diff(heights)
    usual = float(np.median(distances))
    if usual <= 0 or distances.min() < _SAME_PLACE * usual:
        count = int((distances < max(_SAME_PLACE * usual, 1e-3)).sum())
        raise InputError(where, f"two images lie at one place, {count} times over: several scans in one series?")
    largest = int(distances.argmax())
    if distances[largest] > (1 + MAX_UNEVENNESS) * usual:
        missing = round(float(distances[largest]) / usual) - 1
        if missing and abs(distances[largest] / usual - missing - 1) < 0.25:
            said = "a slice is missing" if missing == 1 else f"{missing} slices are missing"
            gap = f"{heights[largest]:.1f} and {heights[largest + 1]:.1f} mm, others are {usual:.2f} mm apart"
            raise InputError(where, f"{said} between {gap}")
    if np.abs(distances - usual).max() > MAX_UNEVENNESS * usual:
        raise InputError(where, f"slices lie {distances.min():.2f} to {distances.max():.2f} mm apart, unevenly")
    return float((heights[-1] - heights[0]) / len(distances))


def _check_tilt(where, positions, normal):
    """Refuses slices that are shifted against each other within their own plane."""
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    along = float(step @ normal)
    across = float(np.linalg.norm(step - along * normal))
    tilt = np.degrees(np.arctan2(across, along))
    if tilt > MAX_TILT_DEGREES:
        raise InputError(where, f"the gantry was tilted by {tilt:.1f} degrees; resample the series upright first")
    aside = positions - positions[0] - np.arange(len(positions))[:, None] * step
    aside -= np.outer(aside @ normal, normal)
    if np.linalg.norm(aside, axis=1).max() > np.tan(np.radians(MAX_TILT_DEGREES)) * abs(along) * len(positions):
        raise InputError(where, "slices are shifted against each other within their plane")


def _numbers(header, key):
    value = header.dataset.get(key)
    if value is None or isinstance(value, str):
        return np.zeros(0)
    return np.atleast_1d(np.asarray(value, np.float64))


def _which(header):
    number = header.dataset.get("InstanceNumber")
    return "an image" if number is None else f"image {int(number)}"
