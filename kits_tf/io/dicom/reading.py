"""A CT series as a volume on the working axes."""

import numpy as np

from kits_tf.errors import InputError
from kits_tf.io.dicom.privacy import quiet
from kits_tf.io.dicom.stack import stack
from kits_tf.io.volume import WORKING_AXES, Volume, fits_int16

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_volume(series):
    """Reads a series.

    Images are sorted by position, stored numbers rescaled to HU; compressed transfer syntaxes are decoded by GDCM,
    pyjpegls or pydicom itself.

    Args:
        series: a `series.Series`.

    Returns:
        A `Volume` on the working axes, its affine in RAS mm; int16 where all values are whole and fit, else float32.

    Raises:
        InputError: the images make no volume (see `stack.stack`), or their pixels cannot be read.
    """
    ordered = stack(series)
    hu = _pixels(series.where, ordered.headers)
    working = geometry(ordered, hu.shape, hu).to_patient_orientation(highdicom_axes())
    return Volume(
        hu=np.ascontiguousarray(working.array),
        spacing_mm=tuple(float(side) for side in working.spacing),
        affine=LPS_TO_RAS @ working.affine,
    )


def geometry(ordered, shape, array=None):
    """The place of a stack in the patient, as highdicom's Volume (with `array`) on the axes of its images.

    Args:
        ordered: a `stack.Stack`.
        shape: (images, rows, columns).
        array: of that shape, or None for bool zeros.
    """
    import highdicom

    return highdicom.Volume.from_attributes(
        array=np.broadcast_to(np.zeros((), bool), shape) if array is None else array,
        image_position=ordered.position,
        image_orientation=ordered.orientation,
        pixel_spacing=ordered.pixel_mm,
        spacing_between_slices=ordered.slice_mm,
        coordinate_system="PATIENT",
    )


def highdicom_axes():
    """The working axes in DICOM's letters: F (feet) for inferior."""
    return "".join({"I": "F", "S": "H"}.get(axis, axis) for axis in WORKING_AXES)


def _pixels(where, headers):
    """HU of all images, [images, rows, columns]."""
    values = None
    for number, header in enumerate(headers):
        image = _image(where, header.path)
        if values is None:
            values = np.empty((len(headers), *image.shape), np.int16)
        if values.dtype == np.int16 and not fits_int16(image):
            values = values.astype(np.float32)
        values[number] = image
    return values


def _image(where, path):
    import pydicom
    from pydicom.pixels import apply_rescale

    try:
        with quiet():
            dataset = pydicom.dcmread(path)
            stored = dataset.pixel_array
            slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
            whole = slope.is_integer() and intercept.is_integer()
            values = stored.astype(np.int32) * int(slope) + int(intercept) if whole else apply_rescale(stored, dataset)
    except Exception as error:  # decoders raise anything, and the text of it may quote the header
        raise InputError(where, f"pixels of an image cannot be decoded ({_coding(path)}, {_kind(error)})") from None
    if not np.isfinite(values).all():
        raise InputError(where, "holds NaN or infinite values")
    return values


def _coding(path):
    """The transfer syntax's name in the standard."""
    import pydicom

    try:
        with quiet():
            return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta.TransferSyntaxUID.name
    except Exception:  # see above
        return "unknown transfer syntax"


def _kind(error):
    return type(error).__name__
