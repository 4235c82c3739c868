"""A volume on the grid that a kidney network works on, and back, in chunks of bounded memory."""

import numpy as np

from kits_tf import geometry
from kits_tf.arrays import NumPy as xp

CHUNK_SLICES = 16


def is_native(config):
    """Whether a KidneyConfig's network works on the CT's own voxels."""
    return not (config.inplane_mm or config.slice_mm)


def working_shape(shape, spacing_mm, config):
    """The shape of the working grid of a volume [slices, rows, columns].

    Args:
        shape: of the volume, cut to the body where the config says so.
        spacing_mm: (slice, row, column).
        config: its `slice_mm` and `inplane_mm`; an axis whose option is 0 keeps its voxels.
    """
    wanted = (config.slice_mm, config.inplane_mm, config.inplane_mm)
    return tuple(
        int(geometry.working_size(xp, size, spacing, mm)) if mm else size
        for size, spacing, mm in zip(shape, spacing_mm, wanted, strict=True)
    )


def to_float(volume):
    """The values as they are, in float32."""
    return np.asarray(volume, np.float32)


def clipped(hu):
    """HU clipped to the method's window, float32: metal must not bleed into its surroundings when resized."""
    return np.clip(to_float(hu), geometry.HU_MIN, geometry.HU_MAX)


def resize(part, slices, rows, columns):
    """`geometry.resize` on NumPy arrays."""
    return geometry.resize(xp, part, slices, rows, columns)


def resized_chunks(volume, shape, convert=to_float, resize=resize):
    """Resizes a volume to a shape that covers the same space, some slices at a time.

    Args:
        volume: [slices, rows, columns] of any numeric type.
        shape: the new [slices, rows, columns].
        convert: makes float32 of a part of the volume before it is resized.
        resize: resize(part, slices, rows, columns), as the function of that name here.

    Yields:
        (slice, float32 [n, rows, columns]): the new slices, in order.
    """
    slices, rows, columns = (geometry.resizing(xp, old, new) for old, new in zip(volume.shape, shape, strict=True))
    for start in range(0, shape[0], CHUNK_SLICES):
        chunk = slice(start, min(start + CHUNK_SLICES, shape[0]))
        if shape[0] == volume.shape[0]:
            yield chunk, resize(convert(volume[chunk]), None, rows, columns)
        else:
            needed = slice(*geometry.extent(slices[chunk].any(axis=0)))
            yield chunk, resize(convert(volume[needed]), slices[chunk, needed], rows, columns)


def resized(volume, shape, convert=to_float, resize=resize):
    """As `resized_chunks`, but returns the whole: float32 of the new shape."""
    whole = np.empty(shape, np.float32)
    for chunk, values in resized_chunks(volume, shape, convert, resize):
        whole[chunk] = values
    return whole
