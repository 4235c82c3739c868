"""NIfTI files: headers checked before memory is spent, values read a few planes at a time, files written whole.

A long CT fills half a gigabyte, so nothing here holds a whole volume. Whatever a damaged file contains becomes an
`InputError` of one line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import os
import pathlib
import re
import zlib
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.spatialimages import HeaderDataError

from kits_tf.errors import InputError
from kits_tf.files import replacing
from kits_tf.geometry import SPACING_MM

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_VOXELS = 2**30  # 4096 slices of 512x512, two gigabytes as int16
MAX_SIDE = 4096
MAX_SHEAR_DEGREES = 0.5  # axes further from right angles get a warning

_CHUNK_VOXELS = 4 * 2**20
_MAX_OFFSET = 2**28  # bytes of header extensions
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_GZIP_RATIO = 1032  # DEFLATE codes at most 258 bytes in two bits
_SUFFIX = re.compile(r"\.nii(\.gz)?\Z", re.IGNORECASE)


@dataclasses.dataclass
class Nifti:
    """The checked header of one file.

    Attributes:
        path: the file.
        header: nibabel's header, NIfTI-1 or NIfTI-2.
        shape: voxels along the three stored axes.
        affine: float64 [4, 4], stored voxel indices to RAS mm.
        warnings: what is odd about the file, one line each; `chunks` may add to it.
    """

    path: pathlib.Path
    header: nibabel.Nifti1Header
    shape: tuple[int, int, int]
    affine: np.ndarray
    warnings: list[str]

    @property
    def scaling(self) -> tuple[float, float]:
        """Slope and intercept that turn stored numbers into values."""
        slope, intercept = self.header.get_slope_inter()
        return (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))


def is_nifti(path: pathlib.Path) -> bool:
    """Return whether a file is named as a NIfTI file, in any case; hidden files are not."""
    return bool(_SUFFIX.search(path.name)) and not path.name.startswith(".")


def stem(path: pathlib.PurePath) -> str:
    """Return a file's name without `.nii` or `.nii.gz`."""
    return _SUFFIX.sub("", path.name)


def read_header(path: str | os.PathLike) -> Nifti:
    """Read and check the header of a `.nii` or `.nii.gz` file.

    Raises:
        InputError: the file is not NIfTI, or not one 3D volume of real numbers on a usable grid.
    """
    path = pathlib.Path(path)
    with _reading(path) as stream:
        block = stream.read(540)
        kinds = ((nibabel.Nifti1Header, 348), (nibabel.Nifti2Header, 540))
        fitting = [(kind, size) for kind, size in kinds if kind.may_contain_header(block[:size])]
        if not fitting:
            raise InputError(path, "not a NIfTI file, or cut off within its header")
        kind, size = fitting[0]
        header = kind(block[:size], check=False)
        if header["magic"].tobytes()[:3] not in (b"n+1", b"n+2"):
            raise InputError(path, "not a single-file NIfTI; convert it to .nii or .nii.gz")
        shape = _checked_shape(path, header)
        affine, warnings = _checked_affine(path, header)
        header.get_slope_inter()  # raises where they are not finite
    return Nifti(path, header, shape, affine, warnings)


def chunks(nifti: Nifti) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield a file's values a few planes at a time, in stored order.

    Yields:
        (start, stop, values): planes start to stop of the last stored axis [axis 0, axis 1, stop - start], in the
        stored type where the file is not scaled, else float64.

    Raises:
        InputError: the file is truncated or damaged.
    """
    planes = max(1, _CHUNK_VOXELS // (nifti.shape[0] * nifti.shape[1]))
    spec = (nifti.shape, nifti.header.get_data_dtype(), _data_offset(nifti.header), *nifti.scaling)
    with _reading(nifti.path) as stream:
        proxy = ArrayProxy(stream, spec, mmap=False)
        for start in range(0, nifti.shape[2], planes):
            stop = min(start + planes, nifti.shape[2])
            try:
                values = proxy[..., start:stop]
            except ValueError as error:
                raise InputError(nifti.path, "truncated: the file ends before its last voxel") from error
            yield start, stop, values
        try:
            stream.read(2**16)  # gzip compares its checksum when it reaches the end
        except gzip.BadGzipFile as error:
            if "Not a gzipped file" not in str(error):
                raise
            nifti.warnings.append("bytes after the end of the compressed data were ignored")


def write(path: str | os.PathLike, header: nibabel.Nifti1Header, array: np.ndarray, slope: float = 1.0) -> None:
    """Write an array under a copy of a header, whole or not at all.

    The same array gives the same bytes: the gzip stream carries no time and no name. Free text and extensions of the
    header are left out, since they may name a patient.

    Args:
        path: a name ending in `.nii` or `.nii.gz`.
        header: header of the grid; its shape, affine codes, spacing and units are kept.
        array: values in the axis order of the header.
        slope: what a reader multiplies them by.

    Raises:
        InputError: the name ends otherwise.
    """
    path = pathlib.Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(path, "only .nii and .nii.gz files are written; choose such a name")
    header = header.as_byteswapped("<")
    header.set_data_dtype(array.dtype)
    unset = {"scl_inter": 0, "cal_min": 0, "cal_max": 0, "intent_code": 0, "vox_offset": len(header.binaryblock) + 4}
    texts = dict.fromkeys(("descrip", "aux_file", "intent_name", "db_name"), b"")
    for field, value in (unset | texts | {"scl_slope": slope}).items():
        if field in header.keys():
            header[field] = value
    planes = max(1, _CHUNK_VOXELS // (array.shape[0] * array.shape[1]))
    with replacing(path) as temporary, open(temporary, "wb") as raw, contextlib.ExitStack() as stack:
        stream: Any = raw
        if path.name.endswith(".gz"):
            stream = stack.enter_context(gzip.GzipFile("", "wb", compresslevel=4, fileobj=raw, mtime=0))
        header.write_to(stream)
        for start in range(0, array.shape[-1], planes):
            part = array[..., start : start + planes]
            in_order = np.empty(part.shape, part.dtype, order="F")
            transfer(in_order, part)
            stream.write(in_order.ravel(order="F").data)


def transfer(target: np.ndarray, source: np.ndarray) -> None:
    """Copy a 3D array into another of the same shape whose memory may run along other axes.

    Planes are copied one by one through a compact copy that fits a processor's cache: with sides of 512, a plain
    assignment misses the cache at nearly every voxel and is eight times slower.
    """
    runs = [int(np.argmin(np.abs(array.strides))) for array in (target, source)]
    if runs[0] == runs[1]:
        target[...] = source
        return
    across = 3 - sum(runs)
    for plane, values in zip(np.moveaxis(target, across, 0), np.moveaxis(source, across, 0), strict=True):
        plane[...] = values.copy(order="K")


def new_header(affine: np.ndarray, shape: tuple[int, ...]) -> nibabel.Nifti1Header:
    """Return a NIfTI-1 header whose sform and qform are both `affine` (RAS mm), for arrays that came from no file."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_xyzt_units("mm")
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner", strip_shears=True)
    return header


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[Any]:
    """Open a file, decompressed if it is gzip whatever its name says, and report its faults as `InputError`."""
    try:
        with open(path, "rb") as raw:
            is_gzip = raw.peek(2)[:2] == _GZIP_MAGIC
            with gzip.GzipFile(fileobj=raw, mode="rb") if is_gzip else contextlib.nullcontext(raw) as stream:
                yield stream
    except EOFError as error:
        raise InputError(path, "truncated: the compressed data end early; copy the file again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(path, f"damaged compressed data ({error}); copy the file again") from error
    except OSError as error:  # without a number it is nibabel's own, which got fewer bytes than it asked for
        reason = "truncated: the file ends before its last voxel"
        raise InputError(path, f"cannot be read ({error.strerror})" if error.errno else reason) from error
    except (HeaderDataError, ValueError, KeyError) as error:
        raise InputError(path, f"damaged NIfTI header ({' '.join(str(error).split())})") from error


def _data_offset(header: nibabel.Nifti1Header) -> int:
    """Return where the voxels begin: directly behind the header and its extension flag where no offset is given."""
    return max(int(header["vox_offset"]), len(header.binaryblock) + 4)


def _checked_shape(path: pathlib.Path, header: nibabel.Nifti1Header) -> tuple[int, int, int]:
    """Return the stored shape; refuse other than 3D volumes of real numbers, and more than the file can hold."""
    count = int(header["dim"][0])
    shape = tuple(int(size) for size in header["dim"][1 : count + 1])
    offset = float(header["vox_offset"])
    if not 1 <= count <= 7 or not 0 <= offset <= _MAX_OFFSET:
        raise InputError(path, f"damaged NIfTI header ({count} axes, voxels at byte {offset:g})")
    said = "x".join(map(str, shape))
    if min(shape) < 1:
        raise InputError(path, f"holds no voxels (shape {said})")
    if count < 3 or any(size != 1 for size in shape[3:]):
        raise InputError(path, f"is {count}D ({said}), must be 3D")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        name = "colors" if dtype.fields else "complex numbers" if dtype.kind == "c" else f"type {dtype}"
        raise InputError(path, f"holds {name}, must hold real numbers")
    voxels = shape[0] * shape[1] * shape[2]
    if voxels > MAX_VOXELS or max(shape) > MAX_SIDE:
        bound = f"must be at most {MAX_VOXELS} in all and {MAX_SIDE} along an axis"
        raise InputError(path, f"too large: the header claims {said} voxels, {bound}")
    claimed = _data_offset(header) + voxels * dtype.itemsize
    held = os.path.getsize(path)
    with open(path, "rb") as raw:
        most = held * _MAX_GZIP_RATIO if raw.read(2) == _GZIP_MAGIC else held
    if claimed > most:
        raise InputError(path, f"truncated: the header claims {claimed} bytes, the file has {held}")
    return shape[0], shape[1], shape[2]


def _checked_affine(path: pathlib.Path, header: nibabel.Nifti1Header) -> tuple[np.ndarray, list[str]]:
    """Return the affine and warnings about it; repair what a valid sform makes harmless."""
    warnings = []
    spacing = header["pixdim"][1:4]
    has_sform, has_qform = header["sform_code"] > 0, header["qform_code"] > 0
    if has_sform and (spacing < 0).any():
        warnings.append(f"negative spacing {_numbers(spacing)} mm in the header; its sign was ignored")
        header["pixdim"][1:4] = np.abs(spacing)
    if not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise InputError(path, f"unusable spacing {_numbers(spacing)} mm")
    if not has_sform and not has_qform:
        raise InputError(path, "no orientation: qform or sform must be set, else left and right would be a guess")
    if header["pixdim"][0] not in (-1, 1):  # the standard reads any other value as 1
        header["pixdim"][0] = 1
    affine = np.asarray(header.get_best_affine(), np.float64)
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not sides.all() or abs(np.linalg.det(affine[:3, :3] / sides)) < 1e-3:
        raise InputError(path, "singular affine")
    if (sides < SPACING_MM[0]).any() or (sides > SPACING_MM[1]).any():
        raise InputError(path, f"unusable spacing {_numbers(sides)} mm")
    axes = affine[:3, :3] / sides
    shear = float(np.degrees(np.arcsin(np.abs(np.triu(axes.T @ axes, 1)).max())))
    if shear > MAX_SHEAR_DEGREES:
        warnings.append(f"sheared by {shear:.1f} degrees (tilted gantry); resample it upright for best results")
    if has_sform and has_qform:
        with contextlib.suppress(HeaderDataError, ValueError):  # a damaged qform is not needed
            qform = header.get_qform()
            other = np.linalg.norm(qform[:3, :3], axis=0)
            turn = np.degrees(np.arccos(min(1.0, (axes * qform[:3, :3] / other).sum(axis=0).min())))
            if not np.allclose(sides, other, rtol=0.01) or turn > max(shear, 1) + 0.01:
                said = [
                    f"({_numbers(np.linalg.norm(form[:3, :3], axis=0))} mm, {_axes(form)})" for form in (affine, qform)
                ]
                warnings.append(f"sform {said[0]} and qform {said[1]} contradict each other; the sform was used")
    return affine, warnings


def _numbers(spacing: np.ndarray) -> str:
    return ", ".join(f"{float(side):g}" for side in spacing)


def _axes(affine: np.ndarray) -> str:
    return "".join(map(str, nibabel.aff2axcodes(affine)))
