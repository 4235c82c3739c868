"""NIfTI files as streams: a checked header, voxels chunk by chunk, and files written from an array.

A long CT fills half a gigabyte, so nothing here ever holds a whole volume: `chunks` yields a few planes at a time in
the order in which they lie on disk, and `write` takes a view. Whatever a damaged or hostile file can hold becomes an
`InputError` of one line, before memory is spent on it.
"""

import contextlib
import dataclasses
import gzip
import os
import pathlib
import re
import struct
import zlib

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from kits_tf.errors import InputError
from kits_tf.files import replacing
from kits_tf.geometry import SPACING_MM

MAX_VOXELS = 2**30
"""Larger volumes are refused: 4096 slices of 512x512, two gigabytes as int16."""

MAX_SIDE = 4096
"""Volumes with a longer axis are refused."""

_CHUNK_VOXELS = 4 * 2**20
_WRITTEN_BYTES = 16 * 2**20
_MAX_OFFSET = 2**28  # bytes of header extensions
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_GZIP_RATIO = 1032  # DEFLATE codes at most 258 bytes in two bits
_SUFFIX = re.compile(r"\.nii(\.gz)?\Z", re.IGNORECASE)
_HEADERS = {348: (nibabel.Nifti1Header, b"n+1\x00"), 540: (nibabel.Nifti2Header, b"n+2\x00")}


@dataclasses.dataclass
class Nifti:
    """What the header of one file says, checked.

    Attributes:
        path: the file.
        header: nibabel's header, NIfTI-1 or NIfTI-2.
        shape: voxels along the three axes on disk.
        affine: float64 [4, 4], voxel indices on disk to RAS mm.
        dtype: NumPy type of the stored numbers.
        slope: stored numbers times this ...
        intercept: ... plus this are the values.
    """

    path: pathlib.Path
    header: nibabel.Nifti1Header
    shape: tuple
    affine: np.ndarray
    dtype: np.dtype
    slope: float
    intercept: float


def is_nifti(path):
    """Whether a file's name ends as a NIfTI file's, in small or capital letters; hidden files do not count."""
    return bool(_SUFFIX.search(path.name)) and not path.name.startswith(".")


def stem(path):
    """A file's name without `.nii` or `.nii.gz`."""
    return _SUFFIX.sub("", path.name)


def read_header(path):
    """Reads and checks the header of a `.nii` or `.nii.gz` file.

    Args:
        path: the file.

    Returns:
        A `Nifti`.

    Raises:
        InputError: the file is none, or no single 3D volume of real numbers on a usable grid could lie in it.
    """
    path = pathlib.Path(path)
    with _errors_as_input_errors(path), _open(path) as stream:
        header = _parse_header(path, stream)
        shape = _checked_shape(path, header)
        dtype = _checked_dtype(path, header)
        _check_size(path, header, shape, dtype)
        slope, intercept = header.get_slope_inter()
        affine = _checked_affine(path, header)
    return Nifti(
        path=path,
        header=header,
        shape=shape,
        affine=affine,
        dtype=dtype,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
    )


def chunks(nifti):
    """Yields a file's values a few planes at a time, in their order on disk.

    Args:
        nifti: the file's `Nifti`.

    Yields:
        (start, stop, values): values [axis 0, axis 1, stop - start] are the planes start to stop of the last axis on
        disk; in the stored type where the file is not scaled, else float64.

    Raises:
        InputError: the file is truncated or damaged.
    """
    plane_bytes = nifti.shape[0] * nifti.shape[1] * nifti.dtype.itemsize
    planes = max(1, _CHUNK_VOXELS // (nifti.shape[0] * nifti.shape[1]))
    with _errors_as_input_errors(nifti.path), _open(nifti.path) as stream:
        _skip(nifti.path, stream, _data_offset(nifti.header))
        for start in range(0, nifti.shape[2], planes):
            stop = min(start + planes, nifti.shape[2])
            stored = _read_exactly(nifti.path, stream, plane_bytes * (stop - start))
            values = np.frombuffer(stored, nifti.dtype).reshape((*nifti.shape[:2], stop - start), order="F")
            if (nifti.slope, nifti.intercept) != (1.0, 0.0):
                values = values.astype(np.float64) * nifti.slope + nifti.intercept
            yield start, stop, values
        stream.read(2**16)  # reaching the end makes gzip compare its checksum


def write(path, header, array, slope=1.0):
    """Writes `array` under a copy of `header`, whole or not at all.

    The same array gives the same bytes: no time and no name goes into the gzip stream. Free text and extensions of the
    header are left behind, for they may name a patient.

    Args:
        path: a name ending in `.nii` or `.nii.gz`.
        header: the header of the grid; its shape, affine codes, spacing and units are kept.
        array: values in the axis order of the header.
        slope: what a reader multiplies them by.

    Raises:
        InputError: the name has another ending.
    """
    path = pathlib.Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(path, "only .nii and .nii.gz files are written")
    header = _header_for(header, array, slope)
    with replacing(path) as temporary, open(temporary, "wb") as raw, _compressor(path, raw) as stream:
        stream.write(header.binaryblock)
        stream.write(bytes(_data_offset(header) - len(header.binaryblock)))
        planes = max(1, _WRITTEN_BYTES // (array.shape[0] * array.shape[1] * array.itemsize))
        for start in range(0, array.shape[-1], planes):
            part = array[..., start : start + planes]
            in_order = np.empty(part.shape, part.dtype, order="F")
            transfer(in_order, part)
            stream.write(in_order.ravel(order="F").data)


def transfer(target, source):
    """Copies a 3D array into another of the same shape whose memory may run along other axes.

    Planes are copied one by one through a compact copy that fits a processor's cache: with sides of 512, walking a
    whole volume across its memory order would miss the cache at nearly every voxel (eight times slower).

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


def new_header(affine, shape):
    """A NIfTI-1 header for a grid that no file gave: sform and qform both set to `affine`, in mm."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_xyzt_units("mm")
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner", strip_shears=True)
    return header


class _errors_as_input_errors:  # noqa: N801, a context manager used like a function
    """Turns what reading a bad file raises into an `InputError` naming it."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, EOFError):
            raise InputError(self._path, "truncated: the compressed data end early") from error
        if isinstance(error, (gzip.BadGzipFile, zlib.error)):
            raise InputError(self._path, f"damaged compressed data ({_one_line(error)})") from error
        if isinstance(error, OSError):
            raise InputError(self._path, f"cannot be read ({error.strerror or _one_line(error)})") from error
        if isinstance(error, (HeaderDataError, ValueError, KeyError, np.linalg.LinAlgError)):
            raise InputError(self._path, f"damaged NIfTI header ({_one_line(error)})") from error
        return False


def _one_line(error):
    return " ".join(str(error).split())


def _open(path):
    """The file's bytes, decompressed where they are gzip, whatever the name says."""
    stream = open(path, "rb")
    try:
        is_gzip = stream.peek(2)[:2] == _GZIP_MAGIC
    except BaseException:
        stream.close()
        raise
    if not is_gzip:
        return stream
    stream.close()
    return gzip.open(path, "rb")


def _compressor(path, raw):
    if path.name.endswith(".gz"):
        return gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=4, mtime=0)
    return contextlib.nullcontext(raw)


def _read_exactly(path, stream, count):
    data = stream.read(count)
    if len(data) < count:
        raise InputError(path, "truncated: the file ends before its last voxel")
    return data


def _skip(path, stream, count):
    for start in range(0, count, 2**20):
        _read_exactly(path, stream, min(2**20, count - start))


def _parse_header(path, stream):
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
        raise InputError(path, "not a NIfTI file of its own (.nii or .nii.gz)")
    return header


def _checked_shape(path, header):
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise InputError(path, f"damaged NIfTI header ({count} axes)")
    shape = tuple(int(size) for size in header["dim"][1 : count + 1])
    if min(shape) < 1:
        raise InputError(path, f"holds no voxels (shape {_times(shape)})")
    if count < 3 or any(size != 1 for size in shape[3:]):
        raise InputError(path, f"is {count}D ({_times(shape)}), a CT is 3D")
    return shape[:3]


def _times(shape):
    return "x".join(str(size) for size in shape)


def _checked_dtype(path, header):
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        name = "colors" if dtype.fields else "complex numbers" if dtype.kind == "c" else f"type {dtype}"
        raise InputError(path, f"holds {name}, a CT holds real numbers")
    return dtype


def _data_offset(header):
    """Where the voxels begin; a header without an offset means directly behind itself and its extension flag."""
    return max(int(header["vox_offset"]), len(header.binaryblock) + 4)


def _check_size(path, header, shape, dtype):
    """Refuses a header that claims more than the file can hold, before anything is allocated."""
    offset = float(header["vox_offset"])
    if not 0 <= offset <= _MAX_OFFSET:
        raise InputError(path, f"damaged NIfTI header (voxels at byte {offset:g})")
    voxels = shape[0] * shape[1] * shape[2]
    if voxels > MAX_VOXELS or max(shape) > MAX_SIDE:
        bound = f"at most {MAX_VOXELS} in all and {MAX_SIDE} along an axis are read"
        raise InputError(path, f"too large: the header claims {_times(shape)} voxels, {bound}")
    claimed = _data_offset(header) + voxels * dtype.itemsize
    held = os.path.getsize(path)
    with open(path, "rb") as raw:
        is_gzip = raw.read(2) == _GZIP_MAGIC
    if claimed > (held * _MAX_GZIP_RATIO if is_gzip else held):
        raise InputError(path, f"truncated: the header claims {claimed} bytes, the file has {held}")


def _checked_affine(path, header):
    spacing = header["pixdim"][1:4]
    if not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
        raise InputError(path, f"unusable spacing {_spacing_text(spacing)} mm")
    if header["sform_code"] <= 0 and header["qform_code"] <= 0:
        raise InputError(path, "no orientation: neither qform nor sform is set, left and right would be a guess")
    if header["pixdim"][0] not in (-1, 1):  # the standard reads any other value as 1
        header["pixdim"][0] = 1
    affine = np.asarray(header.get_best_affine(), np.float64)
    if not np.all(np.isfinite(affine)):
        raise InputError(path, "singular affine (not finite)")
    sides = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if np.any(sides == 0) or abs(np.linalg.det(affine[:3, :3] / sides)) < 1e-3:
        raise InputError(path, "singular affine")
    if np.any(sides < SPACING_MM[0]) or np.any(sides > SPACING_MM[1]):
        raise InputError(path, f"unusable spacing {_spacing_text(sides)} mm")
    return affine


def _spacing_text(spacing):
    return ", ".join(f"{float(side):g}" for side in spacing)


def _header_for(header, array, slope):
    """A little-endian copy of `header` for `array`: its type and scale, no window, no free text, no extension."""
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
