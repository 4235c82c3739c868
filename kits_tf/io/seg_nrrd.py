"""Write labels as a segmentation of 3D Slicer (`.seg.nrrd`): named, colored and coded segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from kits_tf import files, palette
from kits_tf.io.volume import WORKING_AXES, to_stored

if TYPE_CHECKING:
    import os

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
AXES = "LPS"  # of the stored array, right-handed like those of a DICOM series
_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_COMPRESSION_LEVEL = 1


def write_segmentation(labels: np.ndarray, affine: np.ndarray, path: str | os.PathLike) -> None:
    """Write labels as a segmentation of 3D Slicer, atomically.

    Args:
        labels: uint8 [slices, rows, columns] on the working axes: 0 background, 1 kidney, 2 tumor.
        affine: [4, 4], (slice, row, column, 1) to RAS mm.
        path: A name ending in `.seg.nrrd`.
    """
    import slicerio

    stored = axcodes2ornt(AXES)
    transform = ornt_transform(axcodes2ornt(WORKING_AXES), stored)
    segmentation = {
        "voxels": np.asfortranarray(to_stored(labels, stored)),
        "ijkToLPS": RAS_TO_LPS @ affine @ inv_ornt_aff(transform, labels.shape),
        "containedRepresentationNames": ["Binary labelmap"],
        "segments": _segments(),
    }
    with files.replacing(path) as temporary:
        slicerio.write_segmentation(str(temporary), segmentation, compression_level=_COMPRESSION_LEVEL)


def _segments() -> list[dict[str, Any]]:
    """Return both segments with the codes of `dicom_seg`."""
    kidney = ["SCT", "64033007", "Kidney"]
    anatomy = {"category": ["SCT", "123037004", "Anatomical Structure"], "type": kidney}
    tumor = {
        "category": ["SCT", "49755003", "Morphologically Altered Structure"],
        "type": ["SCT", "108369006", "Neoplasm"],
        "anatomicContextName": "Anatomic codes - DICOM master list",
        "anatomicRegion": kidney,
    }
    return [
        {
            "id": name,
            "name": name,
            "labelValue": label,
            "color": [round(value / 255, 6) for value in bytes.fromhex(color[1:])],
            "terminology": {"contextName": _CONTEXT, **terminology},
        }
        for label, name, color, terminology in (
            (1, "kidney", palette.KIDNEY, anatomy),
            (2, "tumor", palette.TUMOR, tumor),
        )
    ]
