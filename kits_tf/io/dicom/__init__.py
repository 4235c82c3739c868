"""DICOM: a CT series as input, DICOM SEG as output. Needs the extra `dicom`: pydicom, highdicom and GDCM.

Nothing that names a patient leaves these modules but in the DICOM SEG, which has to carry it: messages name the folder
that the user named and the slices by their number, never a file, a description or any other text out of a header.
"""

from kits_tf.io.dicom.series import Series, choose, find_series, holds_dicom, is_dicom

__all__ = ["Series", "choose", "find_series", "holds_dicom", "is_dicom"]
