"""A CT: HU, spacing and affine on the working axes, read from NIfTI files; labels written back on the file's own grid.

Working axes are (I, P, L), KiTS19's own: slice 0 is superior, row 0 anterior, column 0 the patient's right. A file
stored in any other orientation is brought there by flips and transposes alone, so every voxel keeps its value, and
labels go back the same way.
"""

import dataclasses
import typing

import nibabel
import numpy as np

from kits_tf.errors import InputError
from kits_tf.io import nifti

WORKING_AXES = ("I", "P", "L")
LABELS = 3
"""Background, kidney, tumor."""

_AMBIGUITY = 1e-3  # how much nearer, as a cosine, an axis must be to its anatomical direction than to another


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where voxels lie.

    Attributes:
        shape: (slices, rows, columns).
        spacing_mm: (slice, row, column) distances.
        affine: float64 [4, 4], (slice, row, column, 1) to RAS mm.
        source: what is needed to write on the file's own grid; None where no file gave it.
    """

    shape: tuple
    spacing_mm: tuple
    affine: np.ndarray
    source: typing.Any = dataclasses.field(default=None, repr=False, compare=False)


@dataclasses.dataclass
class Volume:
    """A CT on the working axes.

    A volume made from arrays is as good as one from a file: without `affine` it lies axis-parallel at the origin.

    Attributes:
        hu: [slices, rows, columns]; int16 where all values are whole and fit, else float32.
        spacing_mm: (slice, row, column) distances.
        affine: float64 [4, 4], (slice, row, column, 1) to RAS mm.
        source: what is needed to write on the file's own grid; None where no file gave it.
    """

    hu: np.ndarray
    spacing_mm: tuple
    affine: np.ndarray | None = None
    source: typing.Any = dataclasses.field(default=None, repr=False)

    def __post_init__(self):
        self.spacing_mm = tuple(float(side) for side in self.spacing_mm)
        if self.affine is None:
            self.affine = working_affine(self.spacing_mm)

    @property
    def shape(self):
        """(slices, rows, columns)."""
        return self.hu.shape

    @property
    def grid(self):
        """The volume's `Grid`, without its HU."""
        return Grid(self.hu.shape, self.spacing_mm, self.affine, self.source)


@dataclasses.dataclass(frozen=True)
class _Source:
    """The file's own grid: its header, and its axes as nibabel's orientation [3, (working axis, flip)]."""

    header: nibabel.Nifti1Header
    orientation: np.ndarray


def working_affine(spacing_mm, origin=(0.0, 0.0, 0.0)):
    """The affine of an axis-parallel (I, P, L) array.

    Args:
        spacing_mm: (slice, row, column).
        origin: RAS mm of voxel (0, 0, 0).

    Returns:
        float64 [4, 4].
    """
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = (-side for side in spacing_mm)
    affine[:3, 3] = origin
    affine[3, 3] = 1.0
    return affine


def read_grid(path):
    """The `Grid` of a NIfTI file, from its header alone.

    Raises:
        InputError: the header is not that of a 3D volume on a usable grid.
    """
    return _grid(nifti.read_header(path))


def read_volume(path):
    """Reads a CT.

    Args:
        path: a `.nii` or `.nii.gz` file in any orientation.

    Returns:
        A `Volume` on the working axes. An oblique grid takes the nearest orientation and keeps its exact affine.

    Raises:
        InputError: the file cannot be read as a CT.
    """
    file = nifti.read_header(path)
    grid = _grid(file)
    hu = _allocate(path, grid.shape, np.int16)
    for start, stop, values in nifti.chunks(file):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError(path, "holds NaN or infinite values")
        if hu.dtype == np.int16 and not fits_int16(values):
            hu = _widened(path, hu, grid, start)
        with np.errstate(over="ignore"):
            nifti.transfer(_disk_view(hu, grid.source)[..., start:stop], values)
    if hu.dtype == np.float32 and not np.isfinite(hu).all():
        raise InputError(path, "holds values beyond float32")
    return Volume(hu=hu, spacing_mm=grid.spacing_mm, affine=grid.affine, source=grid.source)


def read_labels(path):
    """Reads a label file: 0 background, 1 kidney, 2 tumor, in any number type.

    Args:
        path: a `.nii` or `.nii.gz` file in any orientation.

    Returns:
        (labels, grid): labels uint8 [slices, rows, columns], and their `Grid`.

    Raises:
        InputError: the file cannot be read, or holds other values.
    """
    file = nifti.read_header(path)
    grid = _grid(file)
    labels = _allocate(path, grid.shape, np.uint8)
    for start, stop, values in nifti.chunks(file):
        _check_labels(path, values)
        nifti.transfer(_disk_view(labels, grid.source)[..., start:stop], values)
    return labels, grid


def write_labels(labels, volume, path):
    """Writes labels as uint8 on exactly the grid of the file that `volume` came from, whole or not at all.

    Shape, affine, orientation, spacing, units and the qform and sform codes are that file's. A volume made from arrays
    is written in the working axes.

    Args:
        labels: [slices, rows, columns], whole numbers from 0 to 255.
        volume: the `Volume` or `Grid` they belong to.
        path: a name ending in `.nii` or `.nii.gz`.

    Raises:
        ValueError: labels of another shape or with other values.
        InputError: the name has another ending.
    """
    labels = np.asarray(labels)
    if labels.shape != tuple(volume.shape):
        raise ValueError(f"labels are {labels.shape}, their volume is {tuple(volume.shape)}")
    if labels.dtype != np.uint8:
        whole = labels.astype(np.uint8)
        if not np.array_equal(whole, labels):
            raise ValueError("labels are whole numbers from 0 to 255")
        labels = whole
    _write(labels, volume, path)


def write_scaled(stored, slope, volume, path):
    """Writes whole numbers that stand for themselves times `slope` on a volume's own grid, whole or not at all.

    Args:
        stored: [slices, rows, columns] of an integer type.
        slope: what NIfTI's `scl_slope` becomes.
        volume: the `Volume` or `Grid` they belong to.
        path: a name ending in `.nii` or `.nii.gz`.

    Raises:
        InputError: the name has another ending.
    """
    _write(stored, volume, path, slope)


def write_volume(volume, path):
    """Writes a volume's HU on its own grid, whole or not at all.

    Args:
        volume: a `Volume`.
        path: a name ending in `.nii` or `.nii.gz`.

    Raises:
        InputError: the name has another ending.
    """
    _write(volume.hu, volume, path)


def fits_int16(values):
    """Whether finite values are whole numbers that int16 holds."""
    if np.can_cast(values.dtype, np.int16):
        return True
    bounds = np.iinfo(np.int16)
    if values.min() < bounds.min or values.max() > bounds.max:
        return False
    return values.dtype.kind != "f" or np.array_equal(values, np.rint(values))


def _write(array, grid, path, slope=1.0):
    if grid.source is None:
        nifti.write(path, nifti.new_header(grid.affine, array.shape), array, slope)
    else:
        nifti.write(path, grid.source.header, _disk_view(array, grid.source), slope)


def _grid(file):
    orientation = _orientation(file)
    sizes = dict(zip(orientation[:, 0].astype(int), file.shape, strict=True))
    affine = file.affine @ nibabel.orientations.inv_ornt_aff(orientation, file.shape)
    return Grid(
        shape=tuple(sizes[axis] for axis in range(3)),
        spacing_mm=tuple(float(side) for side in np.sqrt((affine[:3, :3] ** 2).sum(axis=0))),
        affine=affine,
        source=_Source(header=file.header, orientation=orientation),
    )


def _orientation(file):
    """Which working axis each axis on disk is nearest to, and whether it runs against it."""
    stored = nibabel.orientations.io_orientation(file.affine)
    directions = np.abs(file.affine[:3, :3] / np.sqrt((file.affine[:3, :3] ** 2).sum(axis=0)))
    for axis, nearest in enumerate(stored[:, 0]):
        if np.isnan(nearest):
            raise InputError(file.path, "singular affine")
        own = directions[int(nearest), axis]
        if max(np.delete(directions[:, axis], int(nearest))) > own - _AMBIGUITY:
            raise InputError(file.path, "ambiguous affine: an axis lies halfway between two anatomical directions")
    working = nibabel.orientations.axcodes2ornt(WORKING_AXES)
    return nibabel.orientations.ornt_transform(stored, working)


def _disk_view(array, source):
    """The working array [slices, rows, columns] seen in the axes of its file."""
    view = array.transpose([int(axis) for axis in source.orientation[:, 0]])
    return view[tuple(slice(None, None, int(flip)) for flip in source.orientation[:, 1])]


def _allocate(path, shape, dtype):
    try:
        return np.empty(shape, dtype)
    except MemoryError as error:
        raise InputError(path, f"too large for this machine's memory ({shape} voxels)") from error


def _check_labels(path, values):
    if values.dtype.kind != "f" and values.min() >= 0 and values.max() < LABELS:
        return
    wrong = ~((values >= 0) & (values < LABELS) & (values == np.floor(values)))
    if wrong.any():
        raise InputError(path, f"holds the label {values[wrong][0]:g}, labels are 0, 1 and 2")


def _widened(path, hu, grid, planes):
    """A float32 copy of the first `planes` planes on disk; the others were not read yet."""
    wide = _allocate(path, hu.shape, np.float32)
    _disk_view(wide, grid.source)[..., :planes] = _disk_view(hu, grid.source)[..., :planes]
    return wide
