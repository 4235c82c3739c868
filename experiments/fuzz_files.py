"""Files that are no usable CT, one function a kind: `KINDS` maps a name to make(path, rng)."""

import gzip
import struct

import nibabel
import numpy as np

SHAPE = (24, 40, 36)
AFFINE = np.array([[0, 0, -3.0, 50], [0, -3.0, 0, 60], [-4.0, 0, 0, 300], [0, 0, 0, 1]])
DIM, DATATYPE, BITPIX, PIXDIM, VOX_OFFSET, SLOPE, INTER = 40, 70, 72, 76, 108, 112, 116
QFORM_CODE, SFORM_CODE, QUATERNION, SROW, MAGIC = 252, 254, 256, 280, 344
KINDS = {}


def kind(function):
    """Registers a kind under its function's name."""
    KINDS[function.__name__] = function
    return function


def good_image(dtype=np.int16, shape=SHAPE):
    """A body of soft tissue in air, as a NIfTI image."""
    hu = np.full(shape, -1000, dtype)
    hu[:, 5:-5, 5:-5] = 40
    return nibabel.Nifti1Image(hu, AFFINE)


def save(image, path):
    """Writes an image."""
    nibabel.save(image, path)


def raw(image=None):
    """The bytes of an uncompressed file."""
    return bytearray((image or good_image()).to_bytes())


def put(path, data):
    """Writes bytes, compressed."""
    path.write_bytes(gzip.compress(bytes(data), 1))


def patched(path, *changes):
    """Writes the good file with fields of its header replaced: (offset, struct format, values...)."""
    data = raw()
    for offset, form, *values in changes:
        struct.pack_into("<" + form, data, offset, *values)
    put(path, data)


@kind
def empty(path, rng):
    path.write_bytes(b"")


@kind
def text(path, rng):
    path.write_text("not an image at all")


@kind
def noise(path, rng):
    path.write_bytes(rng.bytes(5000))


@kind
def compressed_noise(path, rng):
    put(path, rng.bytes(5000))


@kind
def truncated_anywhere(path, rng):
    data = gzip.compress(bytes(raw()), 1)
    path.write_bytes(data[: rng.integers(1, len(data) - 20)])


@kind
def truncated_in_the_header(path, rng):
    put(path, raw()[: rng.integers(4, 348)])


@kind
def truncated_by_one_byte(path, rng):
    put(path, raw()[:-1])


@kind
def checksum_wrong(path, rng):
    data = bytearray(gzip.compress(bytes(raw()), 1))
    data[-6] ^= 0xFF
    path.write_bytes(data)


@kind
def bytes_flipped_in_the_stream(path, rng):
    data = bytearray(gzip.compress(bytes(raw()), 1))
    for place in rng.integers(20, len(data), 10):
        data[place] ^= int(rng.integers(1, 256))
    path.write_bytes(data)


@kind
def bytes_flipped_in_the_header(path, rng):
    data = raw()
    for place in rng.integers(0, 348, 6):
        data[place] ^= int(rng.integers(1, 256))
    put(path, data)


@kind
def header_of_noise(path, rng):
    data = raw()
    data[4:344] = rng.bytes(340)
    put(path, data)


@kind
def header_of_ones(path, rng):
    data = raw()
    data[4:344] = b"\xff" * 340
    put(path, data)


@kind
def header_of_zeros(path, rng):
    data = raw()
    data[4:344] = bytes(340)
    put(path, data)


@kind
def absurd_size_claimed(path, rng):
    patched(path, (DIM, "8h", 3, 32767, 32767, 32767, 1, 1, 1, 1))


@kind
def large_size_claimed(path, rng):
    patched(path, (DIM, "8h", 3, 1024, 1024, 1000, 1, 1, 1, 1))


@kind
def negative_size(path, rng):
    patched(path, (DIM, "8h", 3, 24, -40, 36, 1, 1, 1, 1))


@kind
def size_zero(path, rng):
    patched(path, (DIM, "8h", 3, 24, 0, 36, 1, 1, 1, 1))


@kind
def too_many_axes(path, rng):
    patched(path, (DIM, "h", 100))


@kind
def no_axes(path, rng):
    patched(path, (DIM, "h", 0))


@kind
def two_axes(path, rng):
    save(nibabel.Nifti1Image(np.zeros((30, 40), np.int16), np.eye(4)), path)


@kind
def four_axes(path, rng):
    save(nibabel.Nifti1Image(np.zeros((12, 14, 16, 3), np.int16), np.diag([3, 3, 3, 1])), path)


@kind
def nifti2_absurd(path, rng):
    image = nibabel.Nifti2Image(np.zeros(SHAPE, np.int16), AFFINE)
    data = bytearray(image.to_bytes())
    struct.pack_into("<8q", data, 16, 3, 2**40, 2**40, 2**40, 1, 1, 1, 1)
    put(path, data)


@kind
def rgb(path, rng):
    colors = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    save(nibabel.Nifti1Image(colors, AFFINE), path)


@kind
def complex_numbers(path, rng):
    save(nibabel.Nifti1Image(np.ones(SHAPE, np.complex64), AFFINE), path)


@kind
def unknown_type(path, rng):
    patched(path, (DATATYPE, "2h", 4321, 16))


@kind
def binary_type(path, rng):
    patched(path, (DATATYPE, "2h", 1, 1))


@kind
def bits_that_disagree(path, rng):
    patched(path, (BITPIX, "h", 64))


@kind
def not_a_number(path, rng):
    hu = good_image(np.float32).get_fdata().astype(np.float32)
    hu[tuple(rng.integers(0, size) for size in SHAPE)] = np.nan
    save(nibabel.Nifti1Image(hu, AFFINE), path)


@kind
def infinite(path, rng):
    hu = good_image(np.float64).get_fdata()
    hu[3, 4, 5] = -np.inf
    save(nibabel.Nifti1Image(hu, AFFINE), path)


@kind
def beyond_float32(path, rng):
    save(nibabel.Nifti1Image(np.full(SHAPE, 1e300), AFFINE), path)


@kind
def extreme_hu(path, rng):
    values = rng.choice([-(2**31), -5000, 0, 2**31 - 1], SHAPE).astype(np.int32)
    save(nibabel.Nifti1Image(values, AFFINE), path)


@kind
def constant(path, rng):
    save(nibabel.Nifti1Image(np.full(SHAPE, -1024, np.int16), AFFINE), path)


@kind
def slope_not_finite(path, rng):
    patched(path, (SLOPE, "2f", np.inf, 0.0))


@kind
def intercept_not_finite(path, rng):
    patched(path, (SLOPE, "2f", 1.0, np.nan))


@kind
def slope_extreme(path, rng):
    patched(path, (SLOPE, "2f", 3e38, 3e38))


@kind
def spacing_zero(path, rng):
    patched(path, (PIXDIM + 4, "3f", 0.0, 3.0, 4.0))


@kind
def spacing_negative(path, rng):
    patched(path, (PIXDIM + 4, "3f", 3.0, -3.0, 4.0))


@kind
def spacing_not_finite(path, rng):
    patched(path, (PIXDIM + 4, "3f", 3.0, np.nan, 4.0))


@kind
def spacing_in_metres(path, rng):
    patched(path, *scaled_rows(1e-3))


@kind
def spacing_huge(path, rng):
    patched(path, *scaled_rows(90 / 4))


def scaled_rows(factor):
    """The good file's affine with larger voxels."""
    rows = [(SROW + 16 * row, "4f", *(AFFINE[row] * [factor, factor, factor, 1])) for row in range(3)]
    return [*rows, (PIXDIM + 4, "3f", 4.0 * factor, 3.0 * factor, 3.0 * factor)]


@kind
def affine_singular(path, rng):
    patched(path, (SROW, "12f", 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0))


@kind
def affine_zero(path, rng):
    patched(path, (SROW, "12f", *[0] * 12))


@kind
def affine_not_finite(path, rng):
    patched(path, (SROW, "12f", *[np.nan] * 12))


@kind
def affine_sheared_flat(path, rng):
    patched(path, (SROW, "12f", 1, 0.999, 0, 0, 1, 1.001, 0, 0, 0, 0, 1, 0))


@kind
def affine_halfway(path, rng):
    half = 2**-0.5 * 3
    patched(path, (SROW, "12f", half, half, 0, 0, -half, half, 0, 0, 0, 0, 3, 0))


@kind
def no_orientation(path, rng):
    patched(path, (QFORM_CODE, "2h", 0, 0))


@kind
def quaternion_impossible(path, rng):
    patched(path, (QFORM_CODE, "2h", 1, 0), (QUATERNION, "3f", 5.0, 5.0, 5.0))


@kind
def voxels_before_the_file(path, rng):
    patched(path, (VOX_OFFSET, "f", -500.0))


@kind
def voxels_beyond_the_file(path, rng):
    patched(path, (VOX_OFFSET, "f", 3e38))


@kind
def voxels_at_no_number(path, rng):
    patched(path, (VOX_OFFSET, "f", np.nan))


@kind
def pair_without_its_other_half(path, rng):
    patched(path, (MAGIC, "4s", b"ni1\x00"))


@kind
def analyze(path, rng):
    patched(path, (MAGIC, "4s", b"\x00\x00\x00\x00"))


@kind
def gzip_bomb_behind_the_voxels(path, rng):
    bomb(path, raw(), 600)


@kind
def gzip_bomb_of_voxels(path, rng):
    data = raw()
    struct.pack_into("<8h", data, DIM, 3, 1000, 1000, 1000, 1, 1, 1, 1)
    bomb(path, data, 2000)


@kind
def gzip_bomb_of_header(path, rng):
    data = raw()
    struct.pack_into("<f", data, VOX_OFFSET, 2.0**28)
    bomb(path, data, 300)


def bomb(path, data, megabytes):
    """Writes bytes and so many megabytes of zeros behind them, compressed a thousandfold."""
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(bytes(data))
        for _ in range(megabytes):
            stream.write(bytes(2**20))


@kind
def gzip_in_gzip(path, rng):
    path.write_bytes(gzip.compress(gzip.compress(bytes(raw()))))


@kind
def two_streams(path, rng):
    data = gzip.compress(bytes(raw()), 1)
    path.write_bytes(data + data)


@kind
def garbage_behind_the_stream(path, rng):
    path.write_bytes(gzip.compress(bytes(raw()), 1) + rng.bytes(100))


@kind
def one_voxel(path, rng):
    save(good_image(shape=(1, 1, 1)), path)


@kind
def one_row(path, rng):
    save(nibabel.Nifti1Image(np.zeros((1, 1, 300), np.int16), AFFINE), path)
