"""Write labels as a DICOM SEG: coded segments in the frame of reference of their CT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kits_tf import __version__, files, palette
from kits_tf.errors import InputError
from kits_tf.io.dicom import COPIED_TO_SEG, Series, Stack, read_dataset, stack
from kits_tf.io.privacy import quiet
from kits_tf.io.volume import to_stored

if TYPE_CHECKING:
    import os

    import highdicom
    import pydicom

SERIES_NUMBER = 900  # scanners use lower numbers
MAX_DESCRIPTION = 1024  # characters of a DICOM short text


def write_segmentation(labels: np.ndarray, series: Series, path: str | os.PathLike, notice: str = "") -> None:
    """Write labels as a DICOM SEG with the patient and study of their CT; it describes empty segments too.

    Args:
        labels: uint8 [slices, rows, columns] on the working axes: 0 background, 1 kidney, 2 tumor.
        series: the series of the CT.
        path: the file to write.
        notice: one line for readers of the segmentation, written as the description of both segments.

    Raises:
        InputError: a header of the series cannot be copied into a DICOM SEG.
    """
    import highdicom

    ordered = stack(series)
    try:
        with quiet():
            segmentation = highdicom.seg.Segmentation(
                source_images=_source_images(series, ordered),
                pixel_array=np.ascontiguousarray(to_stored(labels, ordered.orientation)),
                segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=_segments(notice),
                series_instance_uid=highdicom.UID(),
                series_number=SERIES_NUMBER,
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer="kits-tf",
                manufacturer_model_name="kits-tf",
                software_versions=__version__,
                device_serial_number="none",
                content_label="KIDNEY_TUMOR",
                series_description="Kidney and kidney tumor (research)",
            )
            with files.replacing(path) as temporary:
                segmentation.save_as(temporary)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"a header cannot be copied into a DICOM SEG ({type(error).__name__})"
        raise InputError(series.where, reason) from None


def _source_images(series: Series, ordered: Stack) -> list[pydicom.Dataset]:
    """Return the images without pixels, with the slice distance of their positions and missing elements filled in."""
    from pydicom.uid import generate_uid

    filled = dict.fromkeys(COPIED_TO_SEG, "") | {
        "SliceThickness": ordered.slice_mm,
        "StudyInstanceUID": generate_uid(entropy_srcs=["study", series.uid]),
        "FrameOfReferenceUID": generate_uid(entropy_srcs=["frame of reference", series.uid]),
    }
    images = [read_dataset(header.filename, stop_before_pixels=True) for header in ordered.headers]
    for image in images:
        image.SpacingBetweenSlices = ordered.slice_mm
        for key, value in filled.items():
            if key not in image or (value and not image.get(key)):
                setattr(image, key, value)
    return images


def _segments(notice: str) -> list[highdicom.seg.SegmentDescription]:
    """Return the two segments with codes and colors for viewers, and the notice as their description."""
    import highdicom
    from pydicom.sr.codedict import codes

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="kits-tf", family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    kidney = codes.SCT.Kidney
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            anatomic_regions=regions,
            display_color=highdicom.color.CIELabColor.from_string(color),
        )
        for number, label, category, kind, regions, color in (
            (1, "Kidney", codes.SCT.AnatomicalStructure, kidney, None, palette.KIDNEY),
            (2, "Tumor", codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm, [kidney], palette.TUMOR),
        )
    ]
    if notice:
        for segment in segments:
            segment.SegmentDescription = notice.encode("ascii", "replace").decode()[:MAX_DESCRIPTION]
    return segments
