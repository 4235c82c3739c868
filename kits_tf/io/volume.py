"""Read CTs and labels on the working axes, from NIfTI or DICOM, and write labels on the grid of their file.

Working axes are (I, P, L), those of KiTS19: slice 0 is superior, row 0 anterior, column 0 the patient's right. Volumes
in other orientations are flipped and transposed on reading, and back on writing.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING

import nibabel
import numpy as np
from nibabel.affines import from_matvec, voxel_sizes
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from kits_tf.errors import InputError, UsageError
from kits_tf.io import nifti

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

WORKING_AXES = ("I", "P", "L")
LABELS = 3  # background, kidney, tumor

MAX_OBLIQUE_DEGREES = 25.0  # between an axis and its anatomical direction; networks are trained on up to 20
_AMBIGUITY = 1e-3  # least difference between an axis' cosines with its anatomical direction and with another
_LABEL_ROUNDING = 1e-3  # largest rounding error of labels in files with a scale factor


@dataclasses.dataclass(frozen=True)
class Source:
    """NIfTI header of a file, and nibabel's orientation [3, 2] of its stored axes."""

    header: nibabel.Nifti1Header
    orientation: np.ndarray


@dataclasses.dataclass(frozen=True)
class Grid:
    """Shape and position of a volume on the working axes; `warnings` describe oddities of its file, one line each."""

    shape: tuple[int, ...]  # (slices, rows, columns)
    spacing_mm: tuple[float, ...]
    affine: np.ndarray  # float64 [4, 4], (slice, row, column, 1) to RAS mm
    source: Source | None = dataclasses.field(default=None, repr=False, compare=False)  # None if not from NIfTI
    warnings: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    instances: tuple[int, ...] = dataclasses.field(default=(), compare=False)  # see `Volume`

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml, right for sheared grids too."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    def file_index(self, axis: int, index: int) -> int:
        """Return the index, from 0, of a slice, row or column (`axis` 0, 1, 2) in the file and in its label file."""
        _, direction = self._stored_axis(axis)
        return index if direction > 0 else self.shape[axis] - 1 - index

    def file_axis(self, axis: int) -> str:
        """Return the file's axis, i, j or k, of slices, rows or columns (`axis` 0, 1, 2)."""
        return "ijk"[self._stored_axis(axis)[0]]

    def _stored_axis(self, axis: int) -> tuple[int, int]:
        """Return the file's axis for a working axis, and the direction along it, 1 or -1."""
        if self.source is None:
            return axis, 1
        number, direction = ornt_transform(axcodes2ornt(WORKING_AXES), self.source.orientation)[axis]
        return int(number), int(direction)


@dataclasses.dataclass
class Volume:
    """A CT on the working axes, see also `Grid`; without an affine it is axis-parallel at the origin.

    `instances` holds the DICOM Instance Number of each slice of an axial series; it is empty for other CTs.
    """

    hu: np.ndarray  # [slices, rows, columns], int16 where all values are whole and fit, else float32
    spacing_mm: Sequence[float]
    affine: np.ndarray = None  # type: ignore[assignment]  # set below
    source: Source | None = dataclasses.field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    instances: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.spacing_mm = tuple(float(side) for side in self.spacing_mm)
        if self.affine is None:
            self.affine = working_affine(self.spacing_mm)

    @property
    def shape(self) -> tuple[int, ...]:
        """(slices, rows, columns)."""
        return self.hu.shape

    @property
    def grid(self) -> Grid:
        """The volume's `Grid`."""
        return Grid(self.hu.shape, tuple(self.spacing_mm), self.affine, self.source, self.warnings, self.instances)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml, right for sheared grids too."""
        return self.grid.voxel_ml


def working_affine(spacing_mm: Sequence[float], origin: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Return the affine [4, 4] of an axis-parallel (I, P, L) array whose voxel (0, 0, 0) is at `origin` (RAS mm)."""
    return from_matvec(np.diag(np.negative(spacing_mm))[::-1], origin)


def read_grid(path: str | os.PathLike) -> Grid:
    """Read the `Grid` of a NIfTI file from its header alone; InputError for an unusable one."""
    return _grid(nifti.read_header(path))


def read_volume(path: str | os.PathLike, series: str | None = None) -> Volume:
    """Read a CT.

    Args:
        path: a `.nii` or `.nii.gz` file in any orientation, or a folder with a DICOM series.
        series: Series Number or Series Instance UID, of a folder alone; required if it contains several series.

    Returns:
        A `Volume` on the working axes I, P, L. An oblique grid is reoriented to the nearest axes, not resampled.

    Raises:
        InputError: the file or series cannot be read as a CT.
        UsageError: `series` names none of the folder's series, is missing for several, or is given with a file.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> import kits_tf
        >>> from kits_tf.io.volume import Volume, write_volume
        >>> path = pathlib.Path(tempfile.mkdtemp(), "ct.nii.gz")
        >>> write_volume(Volume(np.zeros((4, 8, 8), np.int16), spacing_mm=(3, 0.75, 0.75)), path)
        >>> volume = kits_tf.read_volume(path)
        >>> volume.hu.shape, volume.spacing_mm
        ((4, 8, 8), (3.0, 0.75, 0.75))
    """
    path = pathlib.Path(path)
    if path.is_dir():
        from kits_tf.io import dicom, dicom_folder  # which import this module

        return dicom.read_series(dicom_folder.choose(dicom_folder.find_series(path), series))
    if series and path.is_file():
        raise UsageError("series", f"needs a folder of DICOM files, got {path}")
    file = nifti.read_header(path)
    grid = _grid(file)
    hu = np.empty(grid.shape, np.int16)
    for start, stop, values in nifti.chunks(file):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError(path, "holds NaN or infinite values")
        if hu.dtype == np.int16 and not fits_int16(values):
            read, hu = hu, np.empty(grid.shape, np.float32)
            _as_stored(hu, grid)[..., :start] = _as_stored(read, grid)[..., :start]
        with np.errstate(over="ignore"):
            nifti.transfer(_as_stored(hu, grid)[..., start:stop], values)
    if hu.dtype == np.float32 and not np.isfinite(hu).all():
        raise InputError(path, "holds values beyond float32")
    return Volume(hu, grid.spacing_mm, grid.affine, grid.source, file.warnings)


def read_labels(path: str | os.PathLike) -> tuple[np.ndarray, Grid]:
    """Read a label file: 0 background, 1 kidney, 2 tumor, of any data type.

    Args:
        path: a `.nii` or `.nii.gz` file in any orientation.

    Returns:
        (labels, grid): labels uint8 [slices, rows, columns], and their `Grid`.

    Raises:
        InputError: the file cannot be read, or has other values.

    Example:
        >>> import pathlib
        >>> import kits_tf
        >>> sample = pathlib.Path(kits_tf.__file__).with_name("samples") / "trunk_ct" / "segmentation.nii.gz"
        >>> labels, grid = kits_tf.read_labels(sample)
        >>> labels.shape, int(labels.max())
        ((112, 101, 122), 1)
    """
    file = nifti.read_header(path)
    grid = _grid(file)
    labels = np.empty(grid.shape, np.uint8)
    for start, stop, values in nifti.chunks(file):
        nifti.transfer(_as_stored(labels, grid)[..., start:stop], _checked_labels(path, values))
    return labels, dataclasses.replace(grid, warnings=file.warnings)


def write_labels(labels: np.ndarray, volume: Volume | Grid, path: str | os.PathLike) -> None:
    """Write labels as uint8 on the grid of the file that `volume` was read from, else on the working axes.

    Args:
        labels: [slices, rows, columns], whole numbers from 0 to 255.
        volume: the `Volume` or `Grid` that the labels belong to.
        path: a name ending in `.nii` or `.nii.gz`.

    Raises:
        ValueError: the shape differs, or a value is not a whole number from 0 to 255.
        InputError: the name has another ending.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> import kits_tf
        >>> from kits_tf.io.volume import Volume
        >>> path = pathlib.Path(tempfile.mkdtemp(), "segmentation.nii.gz")
        >>> volume = Volume(np.zeros((4, 8, 8), np.int16), spacing_mm=(3, 0.75, 0.75))
        >>> kits_tf.write_labels(np.ones((4, 8, 8), np.uint8), volume, path)
        >>> labels, grid = kits_tf.read_labels(path)
        >>> int(labels.sum()), grid.spacing_mm
        (256, (3.0, 0.75, 0.75))
    """
    whole = np.asarray(labels).astype(np.uint8, copy=False)
    if whole.shape != tuple(volume.shape):
        raise ValueError(f"labels must have the shape of their volume {tuple(volume.shape)}, got {whole.shape}")
    if whole is not labels and not np.array_equal(whole, labels):
        raise ValueError("labels must be whole numbers from 0 to 255")
    write_scaled(whole, 1.0, volume, path)


def write_scaled(stored: np.ndarray, slope: float, grid: Volume | Grid, path: str | os.PathLike) -> None:
    """Write whole numbers, which readers multiply by `slope`, on the same grid as `write_labels`."""
    header = grid.source.header if grid.source else nifti.new_header(grid.affine, stored.shape)
    nifti.write(path, header, _as_stored(stored, grid), slope)


def write_volume(volume: Volume, path: str | os.PathLike) -> None:
    """Write a volume's HU on its own grid to a `.nii` or `.nii.gz` file."""
    write_scaled(volume.hu, 1.0, volume, path)


def fits_int16(values: np.ndarray) -> bool:
    """Return whether finite values are whole numbers within the range of int16."""
    if np.can_cast(values.dtype, np.int16):
        return True
    is_within = values.min() >= np.iinfo(np.int16).min and values.max() <= np.iinfo(np.int16).max
    return bool(is_within) and (values.dtype.kind != "f" or np.array_equal(values, np.rint(values)))


def stored_orientation(path: str | os.PathLike, affine: np.ndarray) -> np.ndarray:
    """Return nibabel's orientation [3, 2] of stored axes; InputError if one is halfway between two directions."""
    stored = io_orientation(affine)
    cosines = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    second, first = np.sort(cosines, axis=0)[1:]
    if (cosines.argmax(axis=0) != stored[:, 0]).any() or (first - second).min() < _AMBIGUITY:
        raise InputError(path, "ambiguous affine: an axis is halfway between two anatomical directions")
    return stored


def working_grid(affine: np.ndarray, shape: Sequence[int], orientation: np.ndarray) -> Grid:
    """Return the `Grid` on the working axes of a stored array with an affine (RAS mm), shape and orientation."""
    transform = ornt_transform(orientation, axcodes2ornt(WORKING_AXES))
    affine = affine @ inv_ornt_aff(transform, shape)
    return Grid(
        tuple(shape[axis] for axis in np.argsort(transform[:, 0])), tuple(voxel_sizes(affine).tolist()), affine
    )


def oblique_warnings(affine: np.ndarray) -> tuple[str, ...]:
    """Return a warning if an axis of a grid on the working axes is far from its anatomical direction.

    Example:
        >>> oblique_warnings(working_affine((3.0, 0.8, 0.8)))
        ()
    """
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    degrees = float(np.degrees(np.arccos(min(1.0, -np.diag(cosines[::-1]).max()))))
    if degrees <= MAX_OBLIQUE_DEGREES:
        return ()
    return (f"oblique by {degrees:.0f} degrees; resample it along the body for best results",)


def to_working(array: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Return a view on the working axes of a 3D array as it is stored."""
    return apply_orientation(array, ornt_transform(orientation, axcodes2ornt(WORKING_AXES)))


def to_stored(array: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Return a view on the stored axes of a 3D array on the working axes."""
    return apply_orientation(array, ornt_transform(axcodes2ornt(WORKING_AXES), orientation))


def _grid(file: nifti.Nifti) -> Grid:
    orientation = stored_orientation(file.path, file.affine)
    grid = working_grid(file.affine, file.shape, orientation)
    file.warnings += oblique_warnings(grid.affine)
    return dataclasses.replace(grid, source=Source(file.header, orientation), warnings=file.warnings)


def _as_stored(array: np.ndarray, grid: Volume | Grid) -> np.ndarray:
    return to_stored(array, grid.source.orientation) if grid.source else array


def _checked_labels(path: str | os.PathLike, values: np.ndarray) -> np.ndarray:
    """Return values as whole labels; InputError for any other number."""
    labels = np.rint(values) if values.dtype.kind == "f" else values
    if values.dtype.kind == "f" or values.min() < 0 or values.max() >= LABELS:
        wrong = ~((labels >= 0) & (labels < LABELS) & (np.abs(values - labels) <= _LABEL_ROUNDING))
        if wrong.any():
            raise InputError(path, f"holds the label {values[wrong][0]:g}; labels must be 0, 1 or 2")
    return labels
