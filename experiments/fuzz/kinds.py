"""Files that are not usable CTs: `KINDS` maps kinds to make(path, rng), `MESSAGES` to what must be reported."""

from __future__ import annotations

import gzip
import pathlib
import struct
from collections.abc import Callable, Iterable
from typing import Any

import nibabel
import numpy as np

from experiments.fuzz import person

Bytes = bytes | bytearray
Make = Callable[[pathlib.Path, np.random.Generator], Any]

SHAPE = (24, 40, 36)
AFFINE = np.array([[0, 0, -3.0, 50], [0, -3.0, 0, 60], [-4.0, 0, 0, 300], [0, 0, 0, 1]])
# Offsets of a NIfTI-1 header's fields.
DIM, DATATYPE, BITPIX, PIXDIM, VOX_OFFSET, SLOPE, UNITS = 40, 70, 72, 76, 108, 112, 123
QFORM_CODE, QUATERNION, SROW, MAGIC = 252, 256, 280, 344
HEADER = slice(4, 344)  # after its size, before its magic
NAN, INF = np.nan, np.inf
HALFWAY = 3 / np.sqrt(2)


def good_image(dtype: Any = np.int16, shape: tuple[int, ...] = SHAPE) -> nibabel.Nifti1Image:
    """Return a body of soft tissue in air."""
    hu = np.full(shape, -1000, dtype)
    hu[:, 5:-5, 5:-5] = 40
    return nibabel.Nifti1Image(hu, AFFINE)


GOOD = good_image().to_bytes()
STREAM = gzip.compress(GOOD, 1)


def compressed(data: Callable[[np.random.Generator], Bytes]) -> Make:
    """Return a kind that writes bytes as a gzip stream."""
    return lambda path, rng: path.write_bytes(gzip.compress(bytes(data(rng)), 1))


def written(data: Callable[[np.random.Generator], Bytes]) -> Make:
    """Return a kind that writes bytes unchanged."""
    return lambda path, rng: path.write_bytes(bytes(data(rng)))


def patch(data: bytes, *changes: tuple) -> bytearray:
    """Return bytes with fields replaced: (offset, struct format, values...)."""
    patched = bytearray(data)
    for offset, form, *values in changes:
        struct.pack_into("<" + form, patched, offset, *values)
    return patched


def header(*changes: tuple) -> Make:
    """Return a kind that writes the good file with fields of its header replaced."""
    return compressed(lambda rng: patch(GOOD, *changes))


def image(array: Callable[[np.random.Generator], np.ndarray], affine: np.ndarray = AFFINE) -> Make:
    """Return a kind that writes an array as an image."""
    return lambda path, rng: nibabel.save(nibabel.Nifti1Image(array(rng), affine), path)


def bomb(megabytes: int, *changes: tuple) -> Make:
    """Return a kind that appends megabytes of zeros, compressed a thousandfold, to a patched file."""

    def make(path: pathlib.Path, rng: np.random.Generator) -> None:
        with gzip.open(path, "wb", compresslevel=9) as stream:
            stream.write(bytes(patch(GOOD, *changes)))
            for _ in range(megabytes):
                stream.write(bytes(2**20))

    return make


def flipped(data: bytes, places: Iterable[int], rng: np.random.Generator) -> bytearray:
    """Return bytes of which some are changed."""
    changed = bytearray(data)
    for place in places:
        changed[place] ^= int(rng.integers(1, 256))
    return changed


def header_of(data: bytes) -> bytearray:
    """Return the good file with another header."""
    changed = bytearray(GOOD)
    changed[HEADER] = data
    return changed


def with_voxel(value: float, dtype: Any, rng: np.random.Generator) -> np.ndarray:
    """Return the good HU with one voxel replaced."""
    hu = np.asarray(good_image(dtype).dataobj).copy()
    hu[tuple(rng.integers(0, size) for size in hu.shape)] = value
    return hu


def scaled(factor: float) -> Make:
    """Return a kind with larger voxels."""
    rows = [(SROW + 16 * row, "4f", *(AFFINE[row] * [factor, factor, factor, 1])) for row in range(3)]
    return header(*rows, (PIXDIM + 4, "3f", 4.0 * factor, 3.0 * factor, 3.0 * factor))


def size(*sizes: int) -> tuple:
    """Return the change of a header's shape."""
    return DIM, "8h", len(sizes), *sizes, *[1] * (7 - len(sizes))


def stored(change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray = AFFINE) -> Make:
    """Return a kind that stores the CT of a person in a way that contradicts its header."""
    return image(lambda rng: np.ascontiguousarray(change(person.ct()[0])), affine)


NIFTI2 = nibabel.Nifti2Image(np.zeros(SHAPE, np.int16), AFFINE).to_bytes()
RGB = [("R", "u1"), ("G", "u1"), ("B", "u1")]
ROWS = (SROW, "12f")
TILTED = AFFINE @ np.array([[1, 0, 0, 0], [4 / 3 * np.tan(np.radians(20)), 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

KINDS: dict[str, Make] = {
    # No gzip stream, no header, or not all of it
    "empty": written(lambda rng: b""),
    "text": written(lambda rng: b"not an image at all"),
    "noise": written(lambda rng: rng.bytes(5000)),
    "compressed_noise": compressed(lambda rng: rng.bytes(5000)),
    "truncated_anywhere": written(lambda rng: STREAM[: rng.integers(1, len(STREAM) - 20)]),
    "truncated_in_the_header": compressed(lambda rng: GOOD[: rng.integers(4, 348)]),
    "truncated_by_one_byte": compressed(lambda rng: GOOD[:-1]),
    "checksum_wrong": written(lambda rng: flipped(STREAM, [-6], rng)),
    "bytes_flipped_in_the_stream": written(lambda rng: flipped(STREAM, rng.integers(20, len(STREAM), 10), rng)),
    "bytes_flipped_in_the_header": compressed(lambda rng: flipped(GOOD, rng.integers(0, 348, 6), rng)),
    "header_of_noise": compressed(lambda rng: header_of(rng.bytes(340))),
    "header_of_ones": compressed(lambda rng: header_of(b"\xff" * 340)),
    "header_of_zeros": compressed(lambda rng: header_of(bytes(340))),
    "gzip_in_gzip": compressed(lambda rng: STREAM),
    "two_streams": written(lambda rng: STREAM + STREAM),
    "garbage_behind_the_stream": written(lambda rng: STREAM + rng.bytes(100)),
    "gzip_bomb_behind_the_voxels": bomb(600),
    "gzip_bomb_of_voxels": bomb(2000, size(1000, 1000, 1000)),
    "gzip_bomb_of_header": bomb(300, (VOX_OFFSET, "f", 2.0**28)),
    # Shapes
    "absurd_size_claimed": header(size(32767, 32767, 32767)),
    "large_size_claimed": header(size(1024, 1024, 1000)),
    "negative_size": header(size(24, -40, 36)),
    "size_zero": header(size(24, 0, 36)),
    "too_many_axes": header((DIM, "h", 100)),
    "no_axes": header((DIM, "h", 0)),
    "two_axes": image(lambda rng: np.zeros((30, 40), np.int16), np.eye(4)),
    "four_axes": image(lambda rng: np.zeros((12, 14, 16, 3), np.int16), np.diag([3, 3, 3, 1])),
    "nifti2_absurd": compressed(lambda rng: patch(NIFTI2, (16, "8q", 3, 2**40, 2**40, 2**40, 1, 1, 1, 1))),
    "one_voxel": image(lambda rng: np.full((1, 1, 1), -1000, np.int16)),
    "one_row": image(lambda rng: np.zeros((1, 1, 300), np.int16)),
    # Types and values
    "rgb": image(lambda rng: np.zeros(SHAPE, RGB)),
    "complex_numbers": image(lambda rng: np.ones(SHAPE, np.complex64)),
    "unknown_type": header((DATATYPE, "2h", 4321, 16)),
    "binary_type": header((DATATYPE, "2h", 1, 1)),
    "bits_that_disagree": header((BITPIX, "h", 64)),
    "not_a_number": image(lambda rng: with_voxel(NAN, np.float32, rng)),
    "infinite": image(lambda rng: with_voxel(-INF, np.float64, rng)),
    "beyond_float32": image(lambda rng: np.full(SHAPE, 1e300)),
    "extreme_hu": image(lambda rng: rng.choice([-(2**31), -5000, 0, 2**31 - 1], SHAPE).astype(np.int32)),
    "constant": image(lambda rng: np.full(SHAPE, -1024, np.int16)),
    "slope_not_finite": header((SLOPE, "2f", INF, 0.0)),
    "intercept_not_finite": header((SLOPE, "2f", 1.0, NAN)),
    "slope_extreme": header((SLOPE, "2f", 3e38, 3e38)),
    # Geometry
    "spacing_zero": header((PIXDIM + 4, "3f", 0.0, 3.0, 4.0)),
    "spacing_negative": header((PIXDIM + 4, "3f", 3.0, -3.0, 4.0)),
    "spacing_not_finite": header((PIXDIM + 4, "3f", 3.0, NAN, 4.0)),
    "spacing_in_metres": scaled(1e-3),
    "spacing_huge": scaled(90 / 4),
    "affine_singular": header((*ROWS, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0)),
    "affine_zero": header((*ROWS, *[0] * 12)),
    "affine_not_finite": header((*ROWS, *[NAN] * 12)),
    "affine_sheared_flat": header((*ROWS, 1, 0.999, 0, 0, 1, 1.001, 0, 0, 0, 0, 1, 0)),
    "affine_halfway": header((*ROWS, HALFWAY, HALFWAY, 0, 0, -HALFWAY, HALFWAY, 0, 0, 0, 0, 3, 0)),
    "no_orientation": header((QFORM_CODE, "2h", 0, 0)),
    "quaternion_impossible": header((QFORM_CODE, "2h", 1, 0), (QUATERNION, "3f", 5.0, 5.0, 5.0)),
    # Where the voxels are
    "voxels_before_the_file": header((VOX_OFFSET, "f", -500.0)),
    "voxels_beyond_the_file": header((VOX_OFFSET, "f", 3e38)),
    "voxels_at_no_number": header((VOX_OFFSET, "f", NAN)),
    "pair_without_its_other_half": header((MAGIC, "4s", b"ni1\x00")),
    "analyze": header((MAGIC, "4s", b"\x00\x00\x00\x00")),
    # A person with a header that contradicts it
    "back_to_front": stored(lambda hu: hu[:, ::-1]),
    "upside_down": stored(lambda hu: hu[::-1]),
    "hu_off_by_1024": stored(lambda hu: hu + 1024),
    "tilted_gantry": stored(np.copy, TILTED),
    "forms_that_contradict": header((QFORM_CODE, "h", 1), (QUATERNION, "3f", 1.0, 0.0, 0.0)),
    "spacing_negative_beside_sform": header((PIXDIM + 4, "3f", 4.0, -3.0, 3.0)),
    "unit_metre": header((UNITS, "b", 1)),
    "unit_micron": header((UNITS, "b", 3)),
}

MESSAGES = {
    "garbage_behind_the_stream": "bytes after the end",
    "back_to_front": "the spine lies in front",
    "upside_down": "the lungs lie below",
    "hu_off_by_1024": "values are not HU",
    "tilted_gantry": "sheared by 20.0 degrees",
    "forms_that_contradict": "contradict each other",
    "spacing_negative_beside_sform": "negative spacing",
    "unit_metre": "in metres",
    "unit_micron": "in microns",
}
"""Part of the warning about each of these kinds, or of the reason why it is refused."""
