"""Read CTs from NIfTI and DICOM; write labels as NIfTI, DICOM SEG, segmentations of 3D Slicer and surfaces."""
