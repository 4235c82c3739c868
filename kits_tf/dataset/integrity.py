"""Checks of a KiTS19 case before it is prepared."""

import dataclasses
import itertools

import numpy as np

from kits_tf.dataset import kits19
from kits_tf.errors import InputError
from kits_tf.volume import read_labels, read_volume

AFFINE_TOLERANCE_MM = 0.1  # at the corners of the volume; qforms are stored as float32 quaternions


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault of one file."""

    case: str
    path: str
    reason: str

    def __str__(self):
        return f"{self.case}: {self.path}: {self.reason}"


def read_case(case):
    """Reads a case and checks it.

    Args:
        case: a `kits19.Case`.

    Returns:
        (volume, labels, findings): a Volume and uint8 [slices, rows, columns], both None if there are findings.
    """
    findings = missing_files(case)
    if findings:
        return None, None, findings
    volume, labels, grid = None, None, None
    try:
        volume = read_volume(case.image)
    except InputError as error:
        findings.append(Finding(case.id, error.path, error.reason))
    try:
        labels, grid = read_labels(case.label)
    except InputError as error:
        findings.append(Finding(case.id, error.path, error.reason))
    if not findings:
        findings = check_grids(case, volume, grid) + check_values(case, volume)
    return (None, None, findings) if findings else (volume, labels, [])


def missing_files(case):
    """A finding for each of the two files that is not there."""
    files = ((kits19.IMAGE_NAME, case.image), (kits19.LABEL_NAME, case.label))
    return [Finding(case.id, str(case.folder / name), "is missing") for name, path in files if path is None]


def check_grids(case, volume, grid):
    """Findings about a label that does not lie on its image's grid."""
    if volume.shape != tuple(grid.shape):
        return [
            Finding(case.id, str(case.label), f"shape {tuple(grid.shape)} differs from the image's {volume.shape}")
        ]
    distance_mm = corner_distance_mm(volume.shape, volume.affine, grid.affine)
    if distance_mm > AFFINE_TOLERANCE_MM:
        reason = f"affine differs from the image's, by up to {distance_mm:.3g} mm"
        return [Finding(case.id, str(case.label), reason)]
    return []


def check_values(case, volume):
    """Findings about HU that no CT holds."""
    low, high = int(volume.hu.min()), int(volume.hu.max())
    if low == high:
        return [Finding(case.id, str(case.image), f"is constant: every voxel is {low} HU")]
    return []


def corner_distance_mm(shape, first, second):
    """The largest distance between where two affines put the corners of a volume."""
    corners = [(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape))]
    difference = np.asarray(corners) @ (np.asarray(first) - np.asarray(second)).T
    return float(np.linalg.norm(difference[:, :3], axis=1).max())
