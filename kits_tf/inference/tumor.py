"""Stage 2 of prediction: one kidney's cube through the tumor network, back on its voxels.

Functions with the argument `xp` run on NumPy arrays and TensorFlow tensors alike (see `arrays`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from kits_tf import geometry, kidney_crops
from kits_tf.arrays import NumPy
from kits_tf.config import TumorConfig

CHUNK_SLICES = 8


def stage_two(xp: Any, run: Callable[[Any], Any], config: TumorConfig, hu: Any, mask: Any, spacing_mm: Any) -> Any:
    """Return the tumor probability of one kidney, float32 [slices, rows, columns], meaningful inside the mask.

    `hu` and `mask` are cut to the kidney's bounding box; `run` returns the probabilities of batches as `Engine` does.
    """
    crop = masked(xp, config, hu, mask)
    shape = xp.shape(crop)
    if not config.grid:
        padding = kidney_crops.native_padding(xp, shape, spacing_mm, config.margin_mm, 2**config.depth)
        return kidney_crops.unpad(xp, run_cube(xp, run, config, xp.pad(crop, padding)), padding)
    cube = kidney_crops.to_cube(xp, crop, spacing_mm, config.margin_mm, config.grid)
    return kidney_crops.from_cube(xp, run_cube(xp, run, config, cube), shape, spacing_mm, config.margin_mm)


def stage_two_in_parts(
    run: Callable[[Any], Any], config: TumorConfig, hu: np.ndarray, mask: np.ndarray, spacing_mm: Sequence[float]
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield `stage_two` on NumPy arrays some slices at a time, as (slice, float32 [n, rows, columns]).

    A stray component can make the bounding box large, so the full-resolution float array is never allocated (except
    when `grid` is 0).
    """
    if not config.grid:
        yield slice(0, len(hu)), stage_two(NumPy, run, config, hu, mask, spacing_mm)
        return
    box = (NumPy, hu.shape, spacing_mm, config.margin_mm, config.grid)
    cube = np.empty((config.grid,) * 3, np.float32)
    seen = resampled(kidney_crops.into_cube(*box), lambda part: masked(NumPy, config, hu[part], mask[part]))
    for part, values in seen:
        cube[part] = values
    cube = run_cube(NumPy, run, config, cube)
    yield from resampled(kidney_crops.out_of_cube(*box), lambda part: cube[part])


def resampled(
    matrices: Iterable[np.ndarray], part_of: Callable[[slice], np.ndarray]
) -> Iterator[tuple[slice, np.ndarray]]:
    """Apply a matrix [new, old] to each axis of a volume and yield some new slices at a time, in order.

    A position beyond the volume is a row of zeros. `part_of` returns the float32 [n, rows, columns] of old slices.
    """
    slices, rows, columns = matrices
    for start in range(0, len(slices), CHUNK_SLICES):
        chunk = slice(start, min(start + CHUNK_SLICES, len(slices)))
        used = np.any(slices[chunk], axis=0)
        if used.any():
            needed = slice(*geometry.extent(used))
            yield chunk, geometry.resize(NumPy, part_of(needed), slices[chunk, needed], rows, columns)
        else:
            yield chunk, np.zeros((chunk.stop - chunk.start, len(rows), len(columns)), np.float32)


def block_shape(config: TumorConfig) -> tuple[int, ...]:
    """Return the shape of a batch for the network, a sub-block of a resampled cube."""
    blocks = kidney_crops.split(NumPy, np.zeros((config.grid,) * 3, bool), config.blocks)
    return 1, *(size + geometry.lacking(size, 2**config.depth) for size in blocks.shape[1:]), 1


def masked(xp: Any, config: TumorConfig, hu: Any, mask: Any) -> Any:
    """Return a kidney's voxels as the network sees them, float32; zero outside its mask."""
    return geometry.scale(xp, hu, config.clip_hu) * xp.cast(mask, xp.float32)


def run_cube(xp: Any, run: Callable[[Any], Any], config: TumorConfig, cube: Any) -> Any:
    """Run the sub-blocks of a cube [slices, rows, columns] and join their probabilities."""
    blocks = kidney_crops.split(xp, cube, config.blocks)
    shape = xp.shape(blocks)
    padded = geometry.pad_to_multiple(xp, blocks[..., None], 2**config.depth, (1, 2, 3))
    batches = [padded[i : i + 1] for i in range(kidney_crops.num_blocks(config.blocks))]
    results = [found[0, : shape[1], : shape[2], : shape[3]] for found in run(batches)]
    return kidney_crops.join(xp, xp.stack(results), config.blocks)
