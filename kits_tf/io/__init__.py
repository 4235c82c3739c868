"""Reading and writing of CT volumes: NIfTI and DICOM."""
