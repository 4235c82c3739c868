"""Structures and depths on a finer grid than the map's, with smooth surfaces."""

import numpy as np
import scipy.ndimage

from kits_tf.simulation.anatomy.structures import BOWEL, INDEX, KIDNEYS, STRUCTURES, indices
from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.grid import Grid

SLAB_VOXELS = 4_000_000  # refined at a time
DEPTH_STEP_MM = 0.5
OWN_SURFACES = (KIDNEYS, BOWEL, ("bone",))  # groups whose depth is below their own surface, not the skin
# Smoothing eats thin structures, of which these are most.
THIN_WEIGHT = 1.35
THIN = ("bone", "loose_bone", "artery", "cava", "portal", "adrenal", "cartilage")


def coarse_depths(structures, body, spacing):
    """Whose depths in mm are counted from which surface: list of (structures' numbers, float32 [z, y, x])."""
    depths = [(list(range(len(STRUCTURES))), signed_distance(body, spacing))]
    for names in OWN_SURFACES:
        own = np.isin(structures, indices(names))
        if own.any():
            depths.append((indices(names), signed_distance(own, spacing)))
    return depths


def signed_distance(mask, spacing):
    """Distance in mm to a mask's surface, positive inside, float32; the mask is taken to go on beyond the slices."""
    pads = [(2, 2), (0, 0), (0, 0)]
    inside = scipy.ndimage.distance_transform_edt(np.pad(mask, pads, mode="edge"), spacing)
    outside = scipy.ndimage.distance_transform_edt(np.pad(~mask, pads, mode="edge"), spacing)
    half = min(spacing) / 2
    return np.where(inside > 0, inside - half, half - outside)[2:-2].astype(np.float32)


def refined(structures, depths, spacing, fine_mm):
    """Structures (uint8) and depths (int8 steps) on the grid of `fine_mm`, from the same first voxel.

    Each structure's share of a voxel is a cubic B-spline over its coarse voxels; the largest share wins, so that
    surfaces are smooth and not in steps.
    """
    shape = np.floor((np.array(structures.shape) - 1) * spacing / fine_mm).astype(int) + 1
    boxes = scipy.ndimage.find_objects(structures + 1, len(STRUCTURES))
    shares = []
    for number, box in enumerate(boxes):
        if box is not None:
            wide = tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in box)
            weight = THIN_WEIGHT if STRUCTURES[number] in THIN else 1.0
            low = np.array([s.start for s in wide]) * spacing
            field = Field((structures[wide] == number) * np.float32(weight), low, spacing)
            shares.append((number, field, (low, low + (np.array(field.coefficients.shape) - 1) * spacing)))
    fine, fine_depths = np.empty(shape, np.uint8), np.empty(shape, np.int8)
    depth_fields = [(numbers, Field(depth, (0, 0, 0), spacing)) for numbers, depth in depths]
    count = max(1, SLAB_VOXELS // int(shape[1] * shape[2]))
    for start in range(0, shape[0], count):
        stop = min(start + count, shape[0])
        grid = Grid.regular((stop - start, *shape[1:]), fine_mm, (0, 0, 0), start)
        fine[start:stop] = largest_share(shares, grid)
        for numbers, field in depth_fields:
            set_depths(fine_depths[start:stop], np.isin(fine[start:stop], numbers), field, grid)
    return fine, fine_depths


def set_depths(depths, own, field, grid):
    """Sets the depths (int8 steps) of a grid's voxels that are `own` from a field in mm, in place."""
    box = box_of(own)
    if box is not None:
        steps = field.sample(grid.crop(box)) / np.float32(DEPTH_STEP_MM)
        np.copyto(depths[box], np.clip(steps, -127, 127).astype(np.int8), where=own[box])


def box_of(mask):
    """Slices of the box around what is true; None where nothing is."""
    slices = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
        if not len(used):
            return None
        slices.append(slice(used[0], used[-1] + 1))
    return tuple(slices)


def largest_share(shares, grid):
    """Which structure has the largest share of each voxel of the grid, uint8."""
    best = np.zeros(grid.shape, np.float32)
    result = np.full(grid.shape, INDEX["air"], np.uint8)
    for number, field, bounds in shares:
        box = grid.box(bounds, margin=0)
        if box is not None:
            share = field.sample(grid.crop(box))
            wins = share > best[box]
            np.copyto(best[box], share, where=wins)
            np.copyto(result[box], np.uint8(number), where=wins)
    return result
