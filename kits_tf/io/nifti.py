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
import struct
import zlib
from typing import TYPE_CHECKING

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.spatialimages import HeaderDataError

from kits_tf.errors import InputError
from kits_tf.files import replacing
from kits_tf.geometry import SPACING_MM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

MAX_VOXELS = 2**30
"""Larger volumes are refused: 4096 slices of 512x512, two gigabytes as int16."""

MAX_SIDE = 4096
"""Volumes with a longer axis are refused."""

MAX_SHEAR_DEGREES = 0.5
"""Axes further from right angles get a warning."""

_CHUNK_VOXELS = 4 * 2**20
_MAX_OFFSET = 2**28  # bytes of header extensions
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_LEVEL = 4
_MAX_GZIP_RATIO = 1032  # DEFLATE codes at most 258 bytes in two bits
_SUFFIX = re.compile(r"\.nii(\.gz)?\Z", re.IGNORECASE)
_HEADERS = {348: (nibabel.Nifti1Header, b"n+1\x00"), 540: (nibabel.Nifti2Header, b"n+2\x00")}


@dataclasses.dataclass
class Nifti:
    """The checked header of one file.

    Attributes:
        path: the file.
        header: nibabel's header, NIfTI-1 or NIfTI-2.
        shape: voxels along the three stored axes.
        affine: float64 [4, 4], stored voxel indices to RAS mm.
        dtype: NumPy type of the stored numbers.
        slope: stored numbers times this ...
        intercept: ... plus this are the values.
        warnings: what is odd about the file, one line each; `chunks` may add to it.
    """

    path: pathlib.Path
    header: nibabel.Nifti1Header
    shape: tuple[int, int, int]
    affine: np.ndarray
    dtype: np.dtype
    slope: float
    intercept: float
    warnings: list[str]


def is_nifti(path: pathlib.Path) -> bool:
    """Return whether a file is named as a NIfTI file, in any case; hidden files are not."""
    return bool(_SUFFIX.search(path.name)) and not path.name.startswith(".")


def stem(path: pathlib.PurePath) -> str:
    """Return a file's name without `.nii` or `.nii.gz`."""
    return _SUFFIX.sub("", path.name)


def read_header(path: str | os.PathLike) -> Nifti:
    """Read and check the header of a `.nii` or `.nii.gz` file.

    Args:
        path: the file.

    Returns:
        A `Nifti`.

    Raises:
        InputError: the file is not NIfTI, or not one 3D volume of real numbers on a usable grid.
    """
    path = pathlib.Path(path)
    with _reading(path) as stream:
        header = _parse_header(path, stream)
        shape = _checked_shape(path, header)
        dtype = _checked_dtype(path, header)
        _check_size(path, header, shape, dtype)
        slope, intercept = header.get_slope_inter()
        affine, warnings = _checked_affine(path, header)
    return Nifti(
        path=path,
        header=header,
        shape=shape,
        affine=affine,
        dtype=dtype,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        warnings=warnings,
    )


def chunks(nifti: Nifti) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield a file's values a few planes at a time, in stored order.

    Args:
        nifti: the file's checked header.

    Yields:
        (start, stop, values): values [axis 0, axis 1, stop - start] are planes start to stop of the last stored axis,
        in the stored type where the file is not scaled, else float64.

    Raises:
        InputError: the file is truncated or damaged.
    """
    planes = max(1, _CHUNK_VOXELS // (nifti.shape[0] * nifti.shape[1]))
    spec = (nifti.shape, nifti.dtype, _data_offset(nifti.header), nifti.slope, nifti.intercept)
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
    header = _header_for(header, array, slope)
    planes = max(1, _CHUNK_VOXELS // (array.shape[0] * array.shape[1]))
    with replacing(path) as temporary, open(temporary, "wb") as raw, contextlib.ExitStack() as stack:
        stream: IO[bytes] | gzip.GzipFile = raw
        if path.name.endswith(".gz"):
            compressor = gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=_GZIP_LEVEL, mtime=0)
            stream = stack.enter_context(compressor)
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

    Args:
        target: array to write to.
        source: array to read from; its values are converted to the target's type.
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


def shear_degrees(affine: np.ndarray) -> float:
    """Return the largest deviation of two axes of an affine from a right angle."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.abs(axes.T @ axes)[np.triu_indices(3, 1)]
    return float(np.degrees(np.arcsin(min(1.0, cosines.max()))))


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
        raise InputError(path, f"damaged compressed data ({_one_line(error)}); copy the file again") from error
    except OSError as error:
        if error.errno is None:  # nibabel's own, of fewer bytes than it asked for
            raise InputError(path, "truncated: the file ends before its last voxel") from error
        raise InputError(path, f"cannot be read ({error.strerror})") from error
    except (HeaderDataError, ValueError, KeyError, np.linalg.LinAlgError) as error:
        raise InputError(path, f"damaged NIfTI header ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _parse_header(path: pathlib.Path, stream: Any) -> nibabel.Nifti1Header:
    start = stream.read(4)
    for endianness in "<>":
        size = struct.unpack(endianness + "i", start)[0] if len(start) == 4 else 0
        if size in _HEADERS:
            break
    else:
        raise InputError(path, "not a NIfTI file")
    kind, magic = _HEADERS[size]
    rest = stream.read(size - 4)
    if len(rest) < size - 4:
        raise InputError(path, "truncated: the file ends inside its header")
    header = kind(start + rest, endianness=endianness, check=False)
    if header["magic"].tobytes().ljust(4, b"\x00")[:4] != magic:
        raise InputError(path, "not a single-file NIfTI; convert it to .nii or .nii.gz")
    return header


def _checked_shape(path: pathlib.Path, header: nibabel.Nifti1Header) -> tuple[int, int, int]:
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise InputError(path, f"damaged NIfTI header ({count} axes)")
    shape = tuple(int(size) for size in header["dim"][1 : count + 1])
    if min(shape) < 1:
        raise InputError(path, f"holds no voxels (shape {_times(shape)})")
    if count < 3 or any(size != 1 for size in shape[3:]):
        raise InputError(path, f"is {count}D ({_times(shape)}), must be 3D")
    return shape[0], shape[1], shape[2]


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)


def _checked_dtype(path: pathlib.Path, header: nibabel.Nifti1Header) -> np.dtype:
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        name = "colors" if dtype.fields else "complex numbers" if dtype.kind == "c" else f"type {dtype}"
        raise InputError(path, f"holds {name}, must hold real numbers")
    return dtype


def _data_offset(header: nibabel.Nifti1Header) -> int:
    """Return where the voxels begin: directly behind the header and its extension flag where no offset is given."""
    return max(int(header["vox_offset"]), len(header.binaryblock) + 4)


def _check_size(path: pathlib.Path, header: nibabel.Nifti1Header, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse a header that claims more than the file can hold."""
    offset = float(header["vox_offset"])
    if not 0 <= offset <= _MAX_OFFSET:
        raise InputError(path, f"damaged NIfTI header (voxels at byte {offset:g})")
    voxels = shape[0] * shape[1] * shape[2]
    if voxels > MAX_VOXELS or max(shape) > MAX_SIDE:
        bound = f"must be at most {MAX_VOXELS} in all and {MAX_SIDE} along an axis"
        raise InputError(path, f"too large: the header claims {_times(shape)} voxels, {bound}")
    claimed = _data_offset(header) + voxels * dtype.itemsize
    held = os.path.getsize(path)
    with open(path, "rb") as raw:
        is_gzip = raw.read(2) == _GZIP_MAGIC
    if claimed > (held * _MAX_GZIP_RATIO if is_gzip else held):
        raise InputError(path, f"truncated: the header claims {claimed} bytes, the file has {held}")


def _checked_affine(path: pathlib.Path, header: nibabel.Nifti1Header) -> tuple[np.ndarray, list[str]]:
    """Return the affine and warnings about it; repair what a valid sform makes harmless."""
    warnings = []
    spacing = header["pixdim"][1:4]
    has_sform, has_qform = header["sform_code"] > 0, header["qform_code"] > 0
    if has_sform and np.isfinite(spacing).all() and (spacing < 0).any() and (spacing != 0).all():
        warnings.append(f"negative spacing {_numbers(spacing)} mm in the header; its sign was ignored")
        header["pixdim"][1:4] = np.abs(spacing)
    if not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise InputError(path, f"unusable spacing {_numbers(spacing)} mm")
    if not has_sform and not has_qform:
        raise InputError(path, "no orientation: qform or sform must be set, else left and right would be a guess")
    if header["pixdim"][0] not in (-1, 1):  # the standard reads any other value as 1
        header["pixdim"][0] = 1
    affine = np.asarray(header.get_best_affine(), np.float64)
    if not np.isfinite(affine).all():
        raise InputError(path, "singular affine (not finite)")
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if (sides == 0).any() or abs(np.linalg.det(affine[:3, :3] / sides)) < 1e-3:
        raise InputError(path, "singular affine")
    if (sides < SPACING_MM[0]).any() or (sides > SPACING_MM[1]).any():
        raise InputError(path, f"unusable spacing {_numbers(sides)} mm")
    shear = shear_degrees(affine)
    if shear > MAX_SHEAR_DEGREES:
        warnings.append(f"sheared by {shear:.1f} degrees (tilted gantry); resample it upright for best results")
    if has_sform and has_qform:
        warnings += _contradiction(affine, header, max(shear, MAX_SHEAR_DEGREES))
    return affine, warnings


def _contradiction(sform: np.ndarray, header: nibabel.Nifti1Header, degrees: float) -> list[str]:
    """Return a warning where the qform has another spacing than the sform, or an axis further away than an angle."""
    try:
        qform = header.get_qform()
    except (HeaderDataError, ValueError):
        return ["the qform is damaged; the sform was used"]
    sizes = [np.linalg.norm(affine[:3, :3], axis=0) for affine in (sform, qform)]
    cosines = (sform[:3, :3] * qform[:3, :3]).sum(axis=0) / (sizes[0] * sizes[1])
    if np.allclose(sizes[0], sizes[1], rtol=0.01) and (cosines > np.cos(np.radians(degrees)) - 1e-6).all():
        return []
    said = [
        f"{name} (spacing {_numbers(size)} mm, axes {''.join(map(str, nibabel.aff2axcodes(affine)))})"
        for name, size, affine in zip(("sform", "qform"), sizes, (sform, qform), strict=True)
    ]
    return [f"{said[0]} and {said[1]} contradict each other; the sform was used"]


def _numbers(spacing: np.ndarray) -> str:
    return ", ".join(f"{float(side):g}" for side in spacing)


def _header_for(header: nibabel.Nifti1Header, array: np.ndarray, slope: float) -> nibabel.Nifti1Header:
    """Return a little-endian copy of a header for an array, without display window, free text and extensions."""
    header = header.as_byteswapped("<")
    header.set_data_dtype(array.dtype)
    header["scl_slope"], header["scl_inter"] = slope, 0
    header["cal_min"], header["cal_max"] = 0, 0
    header["vox_offset"] = len(header.binaryblock) + 4
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        if field in header.keys():
            header[field] = b""
    header["intent_code"] = 0
    return header
