"""Invalid or unusual DICOM series: `SERIES` maps the name of a kind to make(folder) and the required message."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pydicom

from experiments.fuzz import person

AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
Images = list[pydicom.Dataset]


def images(shift_mm: float = 0.0, series: str | None = None) -> Images:
    """Return the slices of a person."""
    hu, _ = person.ct()
    slice_mm, row_mm, column_mm = person.SPACING_MM
    study, series, frame = pydicom.uid.generate_uid(), series or pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    made = []
    for number, plane in enumerate(hu):
        one = pydicom.Dataset()
        one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid()
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.PatientID = one.PatientName = one.StudyID = one.AccessionNumber = "x"
        one.PatientBirthDate = one.PatientSex = one.StudyTime = one.StudyDate = ""
        one.Modality, one.SeriesNumber, one.InstanceNumber, one.AcquisitionNumber = "CT", 3, number + 1, 1
        one.ImagePositionPatient, one.ImageOrientationPatient = [-150.0, -120.0, shift_mm - slice_mm * number], AXIAL
        one.PixelSpacing, one.SliceThickness = [row_mm, column_mm], slice_mm
        one.RescaleSlope, one.RescaleIntercept = 1, 0
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.Rows, one.Columns = plane.shape
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.PixelData = plane.astype("<i2").tobytes()
        made.append(one)
    return made


def write(folder: pathlib.Path, made: Images, has_preamble: bool = True) -> None:
    """Write a series to a new folder."""
    folder.mkdir()
    for number, one in enumerate(made):
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        if has_preamble:
            one.save_as(folder / f"{number}.dcm", enforce_file_format=True)
        else:
            pydicom.dcmwrite(folder / f"{number}.dcm", pydicom.Dataset(one), implicit_vr=False, little_endian=True)


def edited(made: Images, keys: Sequence[str], value: Any = None) -> Images:
    """Return the images with elements set, or for None deleted."""
    for one in made:
        for key in keys:
            one.pop(key, None) if value is None else setattr(one, key, value)
    return made


def interleaved() -> Images:
    """Return two interleaved acquisitions, half a slice apart, in one series."""
    first = images()
    return first + edited(images(2.0, first[0].SeriesInstanceUID), ["AcquisitionNumber"], 2)


def emptied(folder: pathlib.Path) -> None:
    """Write a series of which ten files are empty."""
    write(folder, images())
    for path in sorted(folder.iterdir())[:10]:
        path.write_bytes(b"")


LACKING = "FrameOfReferenceUID", "SliceThickness", "PatientName", "StudyID", "AccessionNumber"
SERIES: dict[str, tuple[Callable[[pathlib.Path], None], str]] = {
    "dicom_good": (lambda folder: write(folder, images()), ""),
    "dicom_without_preamble": (lambda folder: write(folder, images(), has_preamble=False), ""),
    "dicom_false_distance": (lambda folder: write(folder, edited(images(), ["SpacingBetweenSlices"], 0.0001)), ""),
    "dicom_lacking": (lambda folder: write(folder, edited(images(), LACKING)), "the images lack"),
    "dicom_files_empty": (emptied, "slices may be missing"),
    "dicom_one_uid": (
        lambda folder: write(folder, edited(images(), ["SOPInstanceUID"], "1.2.3")), "different images have one",
    ),
    "dicom_without_series": (
        lambda folder: write(folder, edited(images(), ["SeriesInstanceUID"])), "without SeriesInstanceUID",
    ),
    "dicom_two_acquisitions": (lambda folder: write(folder, interleaved()), "AcquisitionNumber 1, 2"),
}  # fmt: skip
