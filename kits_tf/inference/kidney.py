"""Stage 1 of prediction: every slab of a plane through its network, back on the original grid.

Functions with the argument `xp` run on NumPy arrays and TensorFlow tensors alike (see `arrays`).
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import KidneyConfig

if TYPE_CHECKING:
    from kits_tf.inference.engines.base import Engine

BATCH_PIXELS = 2**18  # of a batch: enough to fill a device, little enough for memory
MAX_GRID_VOXELS = 2**27  # of the grid that a CT is resized to for a network: half a gigabyte as float32

Add = Callable[[Callable[[np.ndarray], np.ndarray], np.ndarray], None]
"""add(view, probability), where `view` maps a volume to a view of it that has the probability's shape."""


def stage_one(
    engine: Engine, network: str, config: KidneyConfig, hu: np.ndarray, spacing_mm: tuple[float, float, float],
    add: Add, progress: Callable[[float], None], working: dict[tuple[int, ...], np.ndarray],
) -> None:  # fmt: skip
    """Run one plane's network over a volume [slices, rows, columns], in HU and cut to the body if the config says so.

    `add` is called with parts that cover the volume once, `progress` with the share done; `working` keeps the volume
    on working grids, by shape, for the planes that follow. Raises ValueError if such a grid is too large.
    """
    if geometry.is_native(config):
        run_plane(engine, network, config, hu, add, progress)
        return
    shape = geometry.working_shape(hu.shape, spacing_mm, config)
    check_size(f"the working grid of {network}", shape, MAX_GRID_VOXELS)
    if shape not in working:
        working[shape] = geometry.resized(hu, shape, geometry.clipped, engine.resize)
    probability = np.zeros(shape, np.float32)

    def keep(view: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> None:
        view(probability)[...] = values

    run_plane(engine, network, config, working[shape], keep, progress)
    for chunk, values in geometry.resized_chunks(probability, hu.shape, resizer=engine.resize):
        add(operator.itemgetter(chunk), values)


def run_plane(
    engine: Engine, network: str, config: KidneyConfig, volume: np.ndarray, add: Add, progress: Callable[[float], None]
) -> None:
    """Run both halves of a plane; see `stage_one` for the arguments. `volume` is on the network's working grid."""
    right, left = geometry.halves(NumPy, config.plane, volume.shape, config.overlap)
    done, total = 0, left.indices[1] + (0 if config.plane == "sagittal" else right.indices[1])
    for half, mirrored in ((right, False), (left, config.mirror)):
        if half.kept[0] == half.kept[1]:
            continue  # a volume one column wide has no right half
        groups = batches(half, volume.shape, config, engine.batch_pixels)
        inputs = (slab_batch(NumPy, config, volume, half, indices, mirrored) for indices in groups)
        for indices, found in zip(groups, engine.probabilities(network, inputs), strict=True):
            view = functools.partial(part_of_plane, plane=config.plane, indices=indices, columns=half.kept)
            add(view, kept_part(NumPy, config, volume, half, found, mirrored))
            done += len(indices)
            progress(done / total)


def check_size(what: str, shape: Sequence[int], most: int) -> None:
    """Raise ValueError if an array of that shape would have more than `most` voxels."""
    if math.prod(shape) > most:
        raise ValueError(f"{what} would have {'x'.join(map(str, shape))} voxels, more than {most}")


def batches(half: geometry.Half, shape: tuple[int, ...], config: KidneyConfig, pixels: int) -> list[np.ndarray]:
    """Return the slab indices of a half in batches of about that many pixels, each int32."""
    size, last = int(batch_size(NumPy, half, shape, config, pixels)), half.indices[1]
    return [np.arange(first, min(first + size, last), dtype=np.int32) for first in range(*half.indices, size)]


def batch_size(xp: Any, half: geometry.Half, shape: Any, config: KidneyConfig, pixels: int = BATCH_PIXELS) -> Any:
    """Return how many slabs of a half form a batch; the same for all slab sizes that are padded to one size."""
    multiple = 2**config.depth
    height, width = (size + geometry.lacking(size, multiple) for size in slab_size(half, shape, config.plane))
    return xp.maximum(1, pixels // xp.maximum(1, height * width))


def slab_size(half: geometry.Half, shape: Any, plane: str) -> tuple[Any, Any]:
    """Return the height and width of a half's slabs."""
    return shape[1] if plane == "axial" else shape[0], half.columns[1] - half.columns[0]


def slab_batch(xp: Any, config: KidneyConfig, volume: Any, half: geometry.Half, indices: Any, mirrored: bool) -> Any:
    """Return the network's input of a batch of slabs, float32 [batch, height, width, 3]."""
    slab = geometry.slabs(xp, volume, config.plane, indices)[:, :, half.columns[0] : half.columns[1]]
    slab = geometry.scale(xp, slab, config.clip_hu)
    if mirrored:
        slab = xp.flip(slab, 3 if config.plane == "sagittal" else 2)
    return geometry.pad_to_multiple(xp, slab, 2**config.depth, (1, 2))


def kept_part(
    xp: Any, config: KidneyConfig, volume: Any, half: geometry.Half, probability: Any, mirrored: bool
) -> Any:
    """Crop the network's output for `slab_batch` to the columns that the half keeps: [batch, height, kept columns]."""
    height, width = slab_size(half, xp.shape(volume), config.plane)
    probability = probability[:, :height, :width]
    if mirrored and config.plane != "sagittal":
        probability = xp.flip(probability, 2)
    return probability[:, :, half.kept[0] - half.columns[0] : half.kept[1] - half.columns[0]]


def part_of_plane(volume: np.ndarray, plane: str, indices: np.ndarray, columns: tuple[int, int]) -> np.ndarray:
    """Return the view [index, height, width] of a volume that a batch's result belongs to."""
    return geometry.plane_view(volume, plane)[indices[0] : indices[-1] + 1, :, slice(*columns)]
