"""Writes CT series for tests: every image a file, in no order, of a patient whom no log may name."""

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, generate_uid

PATIENT_NAME = "Mustermann^Erika"
PATIENT_ID = "PAT-471134"
AXIAL = (1, 0, 0, 0, 1, 0)


def images(hu, spacing_mm=(3.0, 0.8, 0.7), origin=(-20.0, -30.0, 100.0), orientation=AXIAL, intercept=-1024):
    """The images of a series, slice 0 at `origin` (LPS mm), the others towards the feet."""
    step = -spacing_mm[0] * np.cross(orientation[:3], orientation[3:])
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    made = []
    for number, plane in enumerate(hu):
        dataset = _image(study, series, frame, number)
        dataset.ImagePositionPatient = [float(value) for value in np.asarray(origin) + number * step]
        dataset.ImageOrientationPatient = [float(value) for value in orientation]
        dataset.PixelSpacing = [spacing_mm[1], spacing_mm[2]]
        dataset.SliceThickness = spacing_mm[0]
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, intercept, "HU"
        dataset.Rows, dataset.Columns = plane.shape
        dataset.PixelData = (plane.astype(np.int32) - intercept).astype("<u2").tobytes()
        made.append(dataset)
    return made


def _image(study, series, frame, number):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, frame
    dataset.PatientName, dataset.PatientID = PATIENT_NAME, PATIENT_ID
    dataset.PatientBirthDate, dataset.PatientSex, dataset.AccessionNumber = "19520314", "F", "ACC990017"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20190101", "120000", "1"
    dataset.ReferringPhysicianName, dataset.PositionReferenceIndicator = "Arzt^Anton", ""
    dataset.Modality, dataset.Manufacturer, dataset.ImageType = "CT", "Planted", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.SeriesDescription = 3, number + 1, f"Abd {PATIENT_NAME}"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.KVP, dataset.AcquisitionNumber = 120, 1
    return dataset


def write(datasets, folder, seed=0):
    """Writes images under names that say nothing of their order; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(list(folder.iterdir()))
    names = np.random.default_rng(seed).permutation(len(datasets)) + count
    for name, dataset in zip(names, datasets, strict=True):
        dataset.save_as(folder / f"Mustermann_{name:04d}.dcm", enforce_file_format=True)
    return folder


def edited(made, number=None, **elements):
    """The images with elements set (or with None, deleted) in all of them, or in one."""
    for image in made if number is None else [made[number]]:
        for key, value in elements.items():
            image.pop(key, None) if value is None else setattr(image, key, value)
    return made


def gdcm_compressed(folder, target, syntax):
    """The images of a folder in a transfer syntax that GDCM alone can write."""
    import gdcm

    kind = {JPEG2000Lossless: "JPEG2000Lossless", JPEGLosslessSV1: "JPEGLosslessProcess14_1"}[syntax]
    target.mkdir()
    for path in folder.iterdir():
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kind)))
        assert reader.Read()
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(target / path.name))
        assert writer.Write()
    return target
