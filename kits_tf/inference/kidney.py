"""Stage 1 of prediction: every slab of a plane through its network, back on the original grid.

Functions with the argument `xp` run on NumPy arrays and TensorFlow tensors alike (see `arrays`).
"""

import functools

import numpy as np

from kits_tf import geometry
from kits_tf.arrays import NumPy

BATCH_PIXELS = 2**18  # pixels of a batch: enough to fill a device, little enough for memory


def stage_one(engine, network, config, hu, spacing_mm, add, progress, working=None):
    """Runs one plane's network over a volume cut to its body.

    Args:
        engine: an `Engine` that holds the network.
        network: its name.
        config: its KidneyConfig.
        hu: [slices, rows, columns], cut to the body (or whole, as the config says).
        spacing_mm: (slice, row, column).
        add: add(view, probability), as given by `Fusion.region`; called for parts that cover the volume once.
        progress: called with the number of slabs done.
        working: a dict that keeps `hu` on working grids, {shape: volume}, for the planes that follow.
    """
    if geometry.is_native(config):
        run_plane(engine, network, config, hu, add, progress)
        return
    shape = geometry.working_shape(hu.shape, spacing_mm, config)
    working = {} if working is None else working
    if shape not in working:
        working[shape] = geometry.resized(hu, shape, geometry.clipped, engine.resize)
    probability = np.zeros(shape, np.float32)

    def keep(view, values):
        view(probability)[...] = values

    run_plane(engine, network, config, working[shape], keep, progress)
    for chunk, values in geometry.resized_chunks(probability, hu.shape, resizer=engine.resize):
        add(lambda part, chunk=chunk: part[chunk], values)


def run_plane(engine, network, config, volume, add, progress):
    """Runs both halves of a plane; arguments as `stage_one`, `volume` on the network's own grid."""
    right, left = geometry.halves(NumPy, config.plane, volume.shape, config.overlap)
    for half, mirrored in ((right, False), (left, config.mirror)):
        if half.kept[0] == half.kept[1]:
            continue  # a volume one column wide has no right half
        groups = batches(half, volume.shape, config, engine.batch_pixels)
        inputs = (slab_batch(NumPy, config, volume, half, indices, mirrored) for indices in groups)
        for indices, found in zip(groups, engine.probabilities(network, inputs), strict=True):
            view = functools.partial(part_of_plane, plane=config.plane, indices=indices, columns=half.kept)
            add(view, kept_part(NumPy, config, volume, half, found, mirrored))
            progress(len(indices))


def batches(half, shape, config, pixels):
    """The indices of a half in batches of about that many pixels: a list of int32 vectors."""
    size = batch_size(NumPy, half, shape, config, pixels)
    start, stop = half.indices
    return [np.arange(first, min(first + size, stop), dtype=np.int32) for first in range(start, stop, size)]


def batch_size(xp, half, shape, config, pixels=BATCH_PIXELS):
    """How many slabs of a half go through the network at once; the same for all sizes that are padded to one size."""
    multiple = 2**config.depth
    height, width = (size + geometry.lacking(size, multiple) for size in slab_size(half, shape, config.plane))
    return xp.maximum(1, pixels // xp.maximum(1, height * width))


def slab_size(half, shape, plane):
    """(height, width) of a half's slabs."""
    return shape[1] if plane == "axial" else shape[0], half.columns[1] - half.columns[0]


def run_slabs(xp, run, config, volume, half, indices, mirrored):
    """Runs a network over a batch of slabs.

    Args:
        run: run(batch) gives the probability [batch, height, width] of float32 [batch, height, width, 3], whose height
            and width are multiples of what the network needs.
        config: its KidneyConfig.
        volume: [slices, rows, columns], HU on the network's own grid.
        half: the `geometry.Half` that the slabs belong to.
        indices: [batch] int32, along the plane's own axis.
        mirrored: whether the network sees this half flipped.

    Returns:
        float32 [batch, height, kept columns] of the plane.
    """
    found = run(slab_batch(xp, config, volume, half, indices, mirrored))
    return kept_part(xp, config, volume, half, found, mirrored)


def slab_batch(xp, config, volume, half, indices, mirrored):
    """What the network sees of a batch of slabs: float32 [batch, height, width, 3]; arguments as `run_slabs`."""
    slab = geometry.slabs(xp, volume, config.plane, indices)[:, :, half.columns[0] : half.columns[1]]
    slab = geometry.scale(xp, slab, config.clip_hu)
    if mirrored:
        slab = xp.flip(slab, 3 if config.plane == "sagittal" else 2)
    return geometry.pad_to_multiple(xp, slab, 2**config.depth, (1, 2))


def kept_part(xp, config, volume, half, probability, mirrored):
    """What a half keeps of the network's answer to `slab_batch`: [batch, height, kept columns]."""
    height, width = slab_size(half, xp.shape(volume), config.plane)
    probability = probability[:, :height, :width]
    if mirrored and config.plane != "sagittal":
        probability = xp.flip(probability, 2)
    first = half.kept[0] - half.columns[0]
    return probability[:, :, first : first + half.kept[1] - half.kept[0]]


def part_of_plane(volume, plane, indices, columns):
    """The view [index, height, width] of a volume that a batch's result belongs to."""
    return geometry.plane_view(volume, plane)[indices[0] : indices[-1] + 1, :, slice(*columns)]
