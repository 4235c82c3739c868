"""DICOM SEG: labels as coded segments that lie in the frame of reference of the CT they belong to."""

import numpy as np

from kits_tf import __version__, files, palette
from kits_tf.errors import InputError
from kits_tf.io.dicom.privacy import quiet
from kits_tf.io.dicom.reading import geometry, highdicom_axes
from kits_tf.io.dicom.stack import stack

SERIES_NUMBER = 900
"""Away from the numbers that scanners give."""


def write_segmentation(labels, series, path):
    """Writes labels as a DICOM SEG, whole or not at all.

    Segment 1 is the kidney (SNOMED CT 64033007), segment 2 the tumor (neoplasm 108369006 in the kidney); a segment
    without voxels is described all the same. As the standard has it, the file carries the patient and study of its CT.

    Args:
        labels: uint8 [slices, rows, columns] on the working axes: 0 background, 1 kidney, 2 tumor.
        series: the `series.Series` of the CT.
        path: the file to write.

    Raises:
        InputError: a header of the series lacks what a DICOM SEG has to repeat.
    """
    import highdicom
    import pydicom

    ordered = stack(series)
    first = ordered.headers[0].dataset
    place = geometry(ordered, (len(ordered.headers), int(first.Rows), int(first.Columns)))
    working = place.to_patient_orientation(highdicom_axes())
    in_place = working.with_array(labels).match_orientation(place).array
    try:
        with quiet():
            sources = [pydicom.dcmread(header.path, stop_before_pixels=True) for header in ordered.headers]
            segmentation = highdicom.seg.Segmentation(
                source_images=sources,
                pixel_array=np.ascontiguousarray(in_place),
                segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=_segments(),
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
        reason = f"a header lacks what a DICOM SEG has to repeat ({type(error).__name__})"
        raise InputError(series.where, reason) from None


def _segments():
    """What the two segments are, in the codes and colors that viewers know."""
    import highdicom
    from pydicom.sr.codedict import codes

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="kits-tf", family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    automatic = highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC
    return [
        highdicom.seg.SegmentDescription(
            segment_number=1,
            segment_label="Kidney",
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.Kidney,
            algorithm_type=automatic,
            algorithm_identification=algorithm,
            display_color=highdicom.color.CIELabColor.from_string(palette.KIDNEY),
        ),
        highdicom.seg.SegmentDescription(
            segment_number=2,
            segment_label="Tumor",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type=automatic,
            algorithm_identification=algorithm,
            anatomic_regions=[codes.SCT.Kidney],
            display_color=highdicom.color.CIELabColor.from_string(palette.TUMOR),
        ),
    ]
