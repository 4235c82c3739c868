"""Stage 1 of prediction: every slab of a plane through its network, back on the original grid."""

import functools

import numpy as np

from kits_tf import geometry
from kits_tf.arrays import NumPy

BATCH_PIXELS = 2**18  # pixels of a batch: enough to fill a device, little enough for memory
CHUNK_SLICES = 32


def stage_one(engine, network, config, hu, spacing_mm, add, progress):
    """Runs one plane's network over a volume cut to its body.

    Args:
        engine: an engine that holds the network.
        network: its name.
        config: its KidneyConfig.
        hu: [slices, rows, columns], cut to the body (or whole, as the config says).
        spacing_mm: (slice, row, column).
        add: add(view, probability), as given by `Fusion.region`; called for parts that cover the volume once.
        progress: called with the number of slabs done.
    """
    if not config.inplane_mm:
        run_plane(engine, network, config, hu, add, progress)
        return
    shape = hu.shape
    sizes = [int(geometry.working_size(NumPy, shape[axis], spacing_mm[axis], config.inplane_mm)) for axis in (1, 2)]
    probability = np.zeros((shape[0], *sizes), np.float32)

    def keep(view, values):
        view(probability)[...] = values

    run_plane(engine, network, config, to_working_grid(hu, sizes), keep, progress)
    rows, columns = (geometry.resizing(NumPy, size, shape[axis]) for size, axis in zip(sizes, (1, 2), strict=True))
    for chunk in chunks(shape[0]):
        add(lambda part, chunk=chunk: part[chunk], geometry.resize_inplane(NumPy, probability[chunk], rows, columns))


def to_working_grid(hu, sizes):
    """Resizes the in-plane axes of [slices, rows, columns] to `sizes`: HU float32, clipped to the method's window."""
    rows, columns = (geometry.resizing(NumPy, hu.shape[axis], size) for size, axis in zip(sizes, (1, 2), strict=True))
    resized = np.empty((hu.shape[0], *sizes), np.float32)
    for chunk in chunks(hu.shape[0]):
        clipped = np.clip(hu[chunk].astype(np.float32), geometry.HU_MIN, geometry.HU_MAX)
        resized[chunk] = geometry.resize_inplane(NumPy, clipped, rows, columns)
    return resized


def chunks(size):
    """Slices of at most CHUNK_SLICES that cover range(size)."""
    return [slice(start, min(start + CHUNK_SLICES, size)) for start in range(0, size, CHUNK_SLICES)]


def run_plane(engine, network, config, volume, add, progress):
    """Runs both halves of a plane; arguments as `stage_one`, `volume` on the network's own grid."""
    right, left = geometry.halves(NumPy, config.plane, volume.shape, config.overlap)
    for half, mirrored in ((right, False), (left, config.mirror)):
        if half.kept[0] == half.kept[1]:
            continue  # a volume one column wide has no right half
        for indices in batches(half, volume.shape, config.plane):
            slab = geometry.slabs(NumPy, volume, config.plane, indices)[:, :, slice(*half.columns)]
            slab = geometry.scale(NumPy, slab)
            probability = run_slabs(engine, network, config, slab, mirrored)
            first = half.kept[0] - half.columns[0]
            kept = probability[:, :, first : first + half.kept[1] - half.kept[0]]
            view = functools.partial(part_of_plane, plane=config.plane, indices=indices, columns=half.kept)
            add(view, kept)
            progress(len(indices))


def batches(half, shape, plane):
    """The indices of a half in batches: a list of int32 vectors."""
    height = shape[1] if plane == "axial" else shape[0]
    width = half.columns[1] - half.columns[0]
    size = max(1, BATCH_PIXELS // (height * width))
    start, stop = half.indices
    return [np.arange(first, min(first + size, stop), dtype=np.int32) for first in range(start, stop, size)]


def run_slabs(engine, network, config, slab, mirrored):
    """Pads slabs [batch, height, width, 3] to what the network needs and returns [batch, height, width]."""
    mirrored_axis = 3 if config.plane == "sagittal" else 2
    if mirrored:
        slab = np.flip(slab, mirrored_axis)
    height, width = slab.shape[1:3]
    padded = geometry.pad_to_multiple(NumPy, slab, 2**config.depth, (1, 2))
    probability = engine.probability(network, padded)[:, :height, :width]
    if mirrored and config.plane != "sagittal":
        probability = np.flip(probability, 2)
    return probability


def part_of_plane(volume, plane, indices, columns):
    """The view [index, height, width] of a volume that a batch's result belongs to."""
    return geometry.plane_view(volume, plane)[indices[0] : indices[-1] + 1, :, slice(*columns)]
