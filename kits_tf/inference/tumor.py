"""Stage 2 of prediction: one kidney's cube through the tumor network, back on its voxels.

It runs on NumPy arrays and TensorFlow tensors alike (see `arrays`).
"""

from kits_tf import cubes, geometry


def stage_two(xp, run, config, hu, mask, spacing_mm):
    """Tumor probability of one kidney.

    Args:
        run: run(batches) gives the probability [batch, slices, rows, columns] of each float32 [batch, slices, rows,
            columns, 1], whose sizes are multiples of what the network needs.
        config: its TumorConfig.
        hu: [slices, rows, columns], cut to the kidney's bounding box.
        mask: bool of the same shape, the kidney with its tumor.
        spacing_mm: (slice, row, column).

    Returns:
        float32 [slices, rows, columns]; meaningful inside the mask.
    """
    crop = geometry.scale(xp, hu, config.clip_hu) * xp.cast(mask, xp.float32)
    shape = xp.shape(crop)
    if not config.grid:
        padding = cubes.native_padding(xp, shape, spacing_mm, config.margin_mm, 2**config.depth)
        return cubes.unpad(xp, run_cube(xp, run, config, xp.pad(crop, padding)), padding)
    cube = cubes.to_cube(xp, crop, spacing_mm, config.margin_mm, config.grid)
    return cubes.from_cube(xp, run_cube(xp, run, config, cube), shape, spacing_mm, config.margin_mm)


def run_cube(xp, run, config, cube):
    """Runs the four sub-blocks of a cube [slices, rows, columns] and joins their probabilities."""
    blocks = cubes.split(xp, cube, config.blocks)
    shape = xp.shape(blocks)
    padded = geometry.pad_to_multiple(xp, blocks[..., None], 2**config.depth, (1, 2, 3))
    results = [found[0, : shape[1], : shape[2], : shape[3]] for found in run([padded[i : i + 1] for i in range(4)])]
    return cubes.join(xp, xp.stack(results), config.blocks)
