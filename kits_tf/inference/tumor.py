"""Stage 2 of prediction: one kidney's cube through the tumor network, back on its voxels."""

import numpy as np

from kits_tf import cubes, geometry
from kits_tf.arrays import NumPy


def stage_two(engine, config, hu, mask, spacing_mm):
    """Tumor probability of one kidney.

    Args:
        engine: an engine that holds the network "tumor".
        config: its TumorConfig.
        hu: [slices, rows, columns], cut to the kidney's bounding box.
        mask: bool of the same shape, the kidney with its tumor.
        spacing_mm: (slice, row, column).

    Returns:
        float32 [slices, rows, columns]; meaningful inside the mask.
    """
    crop = geometry.scale(NumPy, hu) * mask
    if not config.grid:
        padding = cubes.native_padding(crop.shape, spacing_mm, config.margin_mm, 2**config.depth)
        return cubes.unpad(run_cube(engine, config, np.pad(crop, padding)), padding)
    cube = cubes.to_cube(NumPy, crop, spacing_mm, config.margin_mm, config.grid)
    return cubes.from_cube(NumPy, run_cube(engine, config, cube), crop.shape, spacing_mm, config.margin_mm)


def run_cube(engine, config, cube):
    """Runs the four sub-blocks of a cube [slices, rows, columns], one at a time, and joins their probabilities."""
    blocks = cubes.split(NumPy, cube, config.blocks)
    results = []
    for block in blocks:
        padded = geometry.pad_to_multiple(NumPy, block[None, ..., None], 2**config.depth, (1, 2, 3))
        slices, rows, columns = block.shape
        results.append(engine.probability("tumor", padded)[0, :slices, :rows, :columns])
    return cubes.join(NumPy, np.stack(results), config.blocks)
