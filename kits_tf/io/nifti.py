"""Read and write NIfTI files: headers are checked before memory is allocated, values are read a few planes at a time.

Nothing here holds a whole volume. Any damage to a file becomes an `InputError` of one line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import math
import pathlib
import re
import zlib
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.arrayproxy import ArrayProxy
from nibabel.orientations import aff2axcodes
from nibabel.spatialimages import HeaderDataError

from kits_tf.errors import InputError
from kits_tf.files import replacing
from kits_tf.geometry import SPACING_MM

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

MAX_VOXELS = 2**30  # 4096 slices of 512x512, two gigabytes as int16
MAX_SIDE = 4096
NOT_A_FILE = "is not a regular file, but a pipe or a device"
MAX_SHEAR_DEGREES = 0.5  # largest deviation of axes from right angles without a warning

_MILLIMETRES, _UNITS = 2, {1: "metres", 3: "microns"}  # codes of xyzt_units
_CHUNK_VOXELS = 4 * 2**20
_SUFFIX = re.compile(r"\.nii(\.gz)?\Z", re.IGNORECASE)


@dataclasses.dataclass
class Nifti:
    """The checked header of one file; `warnings` describe oddities of it and, after `chunks`, of the data."""

    path: pathlib.Path
    header: nibabel.Nifti1Header
    shape: tuple[int, int, int]  # of the stored axes
    affine: np.ndarray  # float64 [4, 4], stored voxel indices to RAS mm
    warnings: tuple[str, ...]


def is_nifti(path: pathlib.Path) -> bool:
    """Return whether a file name ends in .nii or .nii.gz, in any case; hidden files are ignored."""
    return bool(_SUFFIX.search(path.name)) and not path.name.startswith(".")


def stem(path: pathlib.PurePath) -> str:
    """Return a file's name without `.nii` or `.nii.gz`."""
    return _SUFFIX.sub("", path.name)


def read_header(path: str | os.PathLike) -> Nifti:
    """Read the header of a NIfTI file; InputError if it is not one 3D volume of real numbers on a usable grid."""
    path = pathlib.Path(path)
    with _reading(path) as stream:
        block = stream.read(540)
        kinds = (nibabel.Nifti1Header, nibabel.Nifti2Header)
        kind = next((kind for kind in kinds if kind.may_contain_header(block[: kind.sizeof_hdr])), None)
        if kind is None:
            raise InputError(path, "not a NIfTI file, or cut off within its header")
        header = kind(block[: kind.sizeof_hdr], check=False)
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
    header, planes = nifti.header, max(1, _CHUNK_VOXELS // (nifti.shape[0] * nifti.shape[1]))
    with _reading(nifti.path) as stream:
        offset = max(int(header["vox_offset"]), len(header.binaryblock) + 4)  # after the extension flag if it is 0
        slope, intercept = header.get_slope_inter()
        spec = (nifti.shape, header.get_data_dtype(), offset, 1 if slope is None else slope, intercept or 0)
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
            if "Not a gzipped file" not in str(error):  # the first stream is whole
                raise
            nifti.warnings += ("bytes after the end of the compressed data were ignored",)


def write(path: str | os.PathLike, header: nibabel.Nifti1Header, array: np.ndarray, slope: float = 1.0) -> None:
    """Write a stored array, which readers multiply by `slope`, with a copy of a header.

    Texts and extensions of the header, which may name a patient, are left out. InputError for a name that does not end
    in `.nii` or `.nii.gz`.
    """
    path = pathlib.Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(path, "must end in .nii or .nii.gz")
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
    """Copy a 3D array into another that may have another memory order.

    Each plane is copied by way of a contiguous one that fits the cache; a plain assignment is eight times slower.
    """
    runs = [int(np.argmin(np.abs(array.strides))) for array in (target, source)]
    if runs[0] == runs[1]:
        target[...] = source
        return
    across = 3 - sum(runs)
    for plane, values in zip(np.moveaxis(target, across, 0), np.moveaxis(source, across, 0), strict=True):
        plane[...] = values.copy(order="K")


def new_header(affine: np.ndarray, shape: tuple[int, ...]) -> nibabel.Nifti1Header:
    """Return a NIfTI-1 header with `affine` (RAS mm) as sform and qform, for arrays that are not from a file."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_xyzt_units("mm")
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner", strip_shears=True)
    return header


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[Any]:
    """Open a file, decompress gzip whatever the file's name, and raise its faults as `InputError`."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(path, NOT_A_FILE)  # opening a pipe would block
    try:
        with open(path, "rb") as raw:
            is_gzip = raw.peek(2)[:2] == b"\x1f\x8b"
            with gzip.GzipFile(fileobj=raw, mode="rb") if is_gzip else contextlib.nullcontext(raw) as stream:
                yield stream
    except EOFError as error:
        raise InputError(path, "truncated: the compressed data end early; copy the file again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(path, f"damaged compressed data ({error}); copy the file again") from error
    except OSError as error:  # one without errno is nibabel's, for missing bytes
        reason = "truncated: the file ends before its last voxel"
        raise InputError(path, f"cannot be read ({error.strerror})" if error.errno else reason) from error
    except (HeaderDataError, ValueError, KeyError, OverflowError) as error:
        raise InputError(path, f"damaged NIfTI header ({' '.join(str(error).split())})") from error


def _checked_shape(path: pathlib.Path, header: nibabel.Nifti1Header) -> tuple[int, int, int]:
    """Return the stored shape; InputError unless it is a 3D volume of real numbers of a plausible size."""
    shape = header.get_data_shape()
    said = "x".join(map(str, shape))
    if len(shape) < 3 or any(size != 1 for size in shape[3:]):
        raise InputError(path, f"is {len(shape)}D ({said}), must be 3D")
    if min(shape) < 1:
        raise InputError(path, f"holds no voxels (shape {said})")
    if math.prod(shape) > MAX_VOXELS or max(shape) > MAX_SIDE:
        raise InputError(
            path, f"too large: the header claims {said} voxels; must be at most {MAX_VOXELS}, {MAX_SIDE} per axis"
        )
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError(path, f"holds {'colors' if dtype.fields else dtype}, must hold real numbers")
    return shape[0], shape[1], shape[2]


def _checked_affine(path: pathlib.Path, header: nibabel.Nifti1Header) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the affine and warnings about it; repair header fields that a valid sform replaces."""
    warnings = []
    has_sform, has_qform = header["sform_code"] > 0, header["qform_code"] > 0
    if not has_sform and not has_qform:
        raise InputError(path, "no orientation: qform or sform must be set, or left and right are unknown")
    spacing = header["pixdim"][1:4]
    if not (np.isfinite(spacing) & (spacing != 0)).all():
        raise InputError(path, f"unusable spacing {_numbers(spacing)} mm")
    if has_sform and (spacing < 0).any():
        warnings.append(f"negative spacing {_numbers(spacing)} mm in the header; its sign was ignored")
        header["pixdim"][1:4] = np.abs(spacing)
    if header["pixdim"][0] not in (-1, 1):  # the standard reads any other value as 1
        header["pixdim"][0] = 1
    affine = np.asarray(header.get_best_affine(), np.float64)
    if not np.isfinite(affine).all():
        raise InputError(path, "affine with values that are not finite")
    sides = voxel_sizes(affine)
    axes = affine[:3, :3] / np.where(sides > 0, sides, 1)
    if abs(np.linalg.det(axes)) < 1e-3:
        raise InputError(path, "singular affine")
    if (sides < SPACING_MM[0]).any() or (sides > SPACING_MM[1]).any():
        raise InputError(path, f"unusable spacing {_numbers(sides)} mm")
    unit = int(header["xyzt_units"]) & 7
    if unit not in (0, _MILLIMETRES):
        name = _UNITS.get(unit, f"an unknown unit ({unit})")
        warnings.append(f"spacing {_numbers(sides)} is given in {name}; it was read as mm")
    shear = float(np.degrees(np.arcsin(np.abs(np.triu(axes.T @ axes, 1)).max())))
    if shear > MAX_SHEAR_DEGREES:
        warnings.append(f"sheared by {shear:.1f} degrees (tilted gantry); resample it upright for best results")
    if has_sform and has_qform:
        with contextlib.suppress(HeaderDataError, ValueError):  # a damaged qform is not needed
            qform = header.get_qform()
            others = voxel_sizes(qform)
            turn = np.degrees(np.arccos(min(1.0, (axes * qform[:3, :3] / others).sum(axis=0).min())))
            if not np.allclose(sides, others, rtol=0.01) or turn > max(shear, 1) + 0.01:
                said = [
                    f"({_numbers(voxel_sizes(form))} mm, {''.join(aff2axcodes(form))})" for form in (affine, qform)
                ]
                warnings.append(f"sform {said[0]} and qform {said[1]} contradict each other; the sform was used")
    return affine, tuple(warnings)


def _numbers(spacing: np.ndarray) -> str:
    return ", ".join(f"{float(side):g}" for side in spacing)
