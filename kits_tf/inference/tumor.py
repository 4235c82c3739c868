"""Stage 2 of prediction: one kidney's cube through the tumor network, and back to the kidney's voxels.

Functions with the argument `xp` run on NumPy arrays and on TensorFlow tensors (see `arrays`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kits_tf import geometry, kidney_crops
from kits_tf.arrays import NumPy
from kits_tf.config import TumorConfig

CHUNK_SLICES = 8  # of a cube, each from many slices of the box


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
    """Yield `stage_two` on NumPy arrays a few slices at a time, as (slice, float32 [n, rows, columns]).

    A stray component can make the bounding box large. Its floats are never all in memory, unless `grid` is 0.
    """
    if not config.grid:
        yield slice(0, len(hu)), stage_two(NumPy, run, config, hu, mask, spacing_mm)
        return
    box = (NumPy, hu.shape, spacing_mm, config.margin_mm, config.grid)
    cube = np.empty((config.grid,) * 3, np.float32)
    into, out_of = kidney_crops.into_cube(*box), kidney_crops.out_of_cube(*box)

    def part_of(old: slice) -> np.ndarray:
        return masked(NumPy, config, hu[old], mask[old])

    for part, values in geometry.resize_in_chunks(into, part_of, CHUNK_SLICES):
        cube[part] = values
    cube = run_cube(NumPy, run, config, cube)
    yield from geometry.resize_in_chunks(out_of, lambda old: cube[old], CHUNK_SLICES)


def block_shape(config: TumorConfig) -> tuple[int, ...]:
    """Return the shape of a batch for the network: one sub-block of a resampled cube."""
    blocks = kidney_crops.split(NumPy, np.zeros((config.grid,) * 3, bool), config.blocks)
    return 1, *(size + geometry.padding_to_multiple(size, 2**config.depth) for size in blocks.shape[1:]), 1


def masked(xp: Any, config: TumorConfig, hu: Any, mask: Any) -> Any:
    """Return the scaled intensities of a kidney as the network sees them, float32; zero outside its mask."""
    return geometry.scale(xp, hu, config.clip_hu) * xp.cast(mask, xp.float32)


def run_cube(xp: Any, run: Callable[[Any], Any], config: TumorConfig, cube: Any) -> Any:
    """Run the sub-blocks of a cube [slices, rows, columns] and join their probabilities.

    With `average_mirrored`, those of its mirror image run with them, and the mean of both is returned.
    """
    cubes = [cube, xp.flip(cube, 2)] if config.average_mirrored else [cube]
    blocks = xp.concatenate([kidney_crops.split(xp, one, config.blocks) for one in cubes], 0)
    shape, count = xp.shape(blocks), kidney_crops.num_blocks(config.blocks)
    padded = geometry.pad_to_multiple(xp, blocks[..., None], 2**config.depth, (1, 2, 3))
    batches = [padded[i : i + 1] for i in range(count * len(cubes))]
    results = [found[0, : shape[1], : shape[2], : shape[3]] for found in run(batches)]
    found = kidney_crops.join(xp, xp.stack(results[:count]), config.blocks)
    if not config.average_mirrored:
        return found
    return (found + xp.flip(kidney_crops.join(xp, xp.stack(results[count:]), config.blocks), 2)) / 2
