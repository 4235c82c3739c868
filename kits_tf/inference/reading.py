"""The voxels of an Input: its CT, and the kidney mask that is given for it."""

import pathlib

import numpy as np

from kits_tf.data import kits19, records
from kits_tf.errors import InputError
from kits_tf.io.dicom import read_series
from kits_tf.io.volume import read_labels, read_volume


def read(source):
    """The Volume of an Input: a NIfTI file, a prepared record or a DICOM series."""
    if source.series:
        return read_series(source.series)
    if records.is_record(source.path):
        return records.read_volume(source.path)
    return read_volume(source.path)


def mask_path(folder, source):
    """Where a folder of kidney masks keeps the one of an Input: under its output name, or in a KiTS19 layout.

    Raises:
        InputError: there is none.
    """
    path = pathlib.Path(folder) / source.output_name
    if not path.is_file() and source.case:
        in_layout = pathlib.Path(folder) / source.case / kits19.LABEL_NAME
        path = in_layout if in_layout.is_file() else path
    if not path.is_file():
        raise InputError(path, f"no such file; it should hold the kidney mask of {source.where}")
    return path


def read_mask(path, source, volume):
    """The kidney mask of an Input, bool on its grid."""
    labels, grid = read_labels(path)
    if labels.shape != volume.shape or not np.allclose(grid.affine, volume.affine, atol=1e-2):
        raise InputError(path, f"shape {labels.shape} or affine differs from that of {source.where}")
    return labels > 0
