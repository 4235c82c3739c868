"""Refine an organ map to about a millimetre: split unlabelled tissue, smooth surfaces, measure depths."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import scipy.ndimage
from skimage.morphology import convex_hull_image

from kits_tf.boxes import bounding_box, enlarged
from kits_tf.simulation.fields import Field, Grid
from kits_tf.simulation.structures import BOWEL, INDEX, KIDNEYS, STRUCTURES, are, indices

UNLABELLED = 255  # voxels without a label

FINE_MM = 1.25  # upper bound of the refined voxel size, unless the map would exceed FINE_VOXELS
FINE_VOXELS = 80_000_000  # largest refined map: two arrays of a byte per voxel
BLOCK = 48  # voxels along each axis that are refined at a time
END_SLICES = ((2, 2), (0, 0), (0, 0))  # padding that lets masks continue beyond the first and last slice
AROUND_MM = 48.0  # air added on all sides but the ends, for patients fatter than the map's
SINUS_MM = 11.0  # gaps of less than twice this width within a kidney are its sinus
DEPTH_STEP_MM = 0.5
OWN_SURFACES = ((*KIDNEYS, "sinus"), BOWEL, ("bone",))  # groups whose depth is measured from their own surface
THIN = ("bone", "loose_bone", "artery", "cava", "portal", "adrenal", "cartilage")
THIN_WEIGHT = 1.35  # compensates for the loss of thin structures by smoothing

BODY_HU, FAT_HU, BONE_HU = -300.0, -30.0, 150.0
SKIN_MM = 4.0  # soft tissue nearer to the surface is skin, which is redrawn for each patient
WALL_MM = (-4.0, 9.0)  # of a muscle wall, from inside to outside the labels' hull, for maps without a CT
UNDER_SKIN_MM = 18.0  # fat around the wall
HULL_SMOOTHING_MM = 8.0
DISC_MM = 14.0  # gaps of less than this between bones along the body are soft tissue


@dataclasses.dataclass
class OrganMap:
    """A map of structures that is fine enough for nearest-voxel lookup; axes (I, P, L).

    Depths are measured from their own surface for kidneys, bowel and bone, from the skin for the rest of the body;
    they are negative in air.
    """

    structures: np.ndarray  # uint8 [z, y, x], numbers of `structures.STRUCTURES`
    depths: np.ndarray  # int8 [z, y, x] in steps of DEPTH_STEP_MM
    low_mm: np.ndarray  # (z, y, x) of voxel (0, 0, 0), from the middle between the kidneys
    spacing_mm: np.ndarray
    kidneys_mm: dict[str, np.ndarray]  # centre of each present kidney

    @property
    def high_mm(self) -> np.ndarray:
        """Mm (z, y, x) of the last voxel."""
        return self.low_mm + self.spacing_mm * (np.array(self.structures.shape) - 1)


def refine(structures: np.ndarray, spacing_mm: tuple[float, ...], hu: np.ndarray | None = None) -> OrganMap:
    """Return the refined map of structures, uint8; unlabelled tissue is split by the CT or, without one, by shape."""
    spacing = np.asarray(spacing_mm, float)
    pads = [(0, 0), *((math.ceil(AROUND_MM / mm),) * 2 for mm in spacing[1:])]
    complete = not (structures == UNLABELLED).any()
    structures = np.pad(structures, pads, constant_values=INDEX["air"] if complete else UNLABELLED)
    if complete:
        body = structures != INDEX["air"]
    elif hu is None:
        body = _split_by_shape(structures, spacing)
    else:
        body = split_by_hu(structures, np.pad(hu, pads, constant_values=-1024), spacing)
    _mark_sinus(structures, spacing)
    # (numbers of structures, depth in mm); later entries override earlier ones.
    depths = [(list(range(len(STRUCTURES))), _signed_distance(body, spacing))]
    for names in OWN_SURFACES:
        own = are(structures, names)
        if own.any():
            depths.append((indices(names), _signed_distance(own, spacing)))
    kidneys = {name: structures == INDEX[name] for name in KIDNEYS}
    centres = {name: np.argwhere(mask).mean(axis=0) * spacing for name, mask in kidneys.items() if mask.any()}
    middle = np.mean(list(centres.values()), axis=0)
    if len(centres) == 1:
        middle[2] = (structures.shape[2] - 1) / 2 * spacing[2]
    fine_mm = np.minimum(spacing, max(FINE_MM, (structures.size * spacing.prod() / FINE_VOXELS) ** (1 / 3)))
    fine, fine_depths = _resampled(structures, depths, spacing, fine_mm)
    centres = {name: centre - middle for name, centre in centres.items()}
    return OrganMap(fine, fine_depths, -middle, fine_mm, centres)


def split_by_hu(structures: np.ndarray, hu: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Fill unlabelled voxels of coarse structures by their HU, in place; return the body, bool [z, y, x]."""
    labelled = structures != UNLABELLED
    numbered, _ = scipy.ndimage.label(scipy.ndimage.binary_opening((hu > BODY_HU) | labelled, np.ones((1, 3, 3))))
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    body = labelled | ((numbered == sizes.argmax()) & (numbered > 0))
    body = np.stack([scipy.ndimage.binary_fill_holes(plane) for plane in body])
    depth = _distance(body, spacing)
    smooth = scipy.ndimage.gaussian_filter(np.asarray(hu, np.float32), 0.6)
    kinds = np.select(
        [hu < BODY_HU, smooth < FAT_HU, depth < SKIN_MM, smooth > BONE_HU],
        [INDEX["gas"], INDEX["fat"], INDEX["fat"], INDEX["loose_bone"]],
        INDEX["soft"],
    )
    # A voxel of gas at the skin is partly outside air.
    kinds[(kinds == INDEX["gas"]) & (depth < SKIN_MM)] = INDEX["fat"]
    np.copyto(structures, np.where(body, kinds, INDEX["air"]).astype(np.uint8), where=~labelled)
    return body


def _split_by_shape(structures: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Fill unlabelled voxels in place: fat within the labels' hull, then muscle, then fat; return the body."""
    labelled = structures != UNLABELLED
    hull = np.stack([convex_hull_image(plane) if plane.any() else plane for plane in labelled])
    smooth = scipy.ndimage.gaussian_filter1d(hull.astype(np.float32), HULL_SMOOTHING_MM / spacing[0], axis=0)
    outside = -_signed_distance(labelled | (smooth > 0.5), spacing)
    body = outside < WALL_MM[1] + UNDER_SKIN_MM
    bones, reach = structures == INDEX["bone"], np.ones((max(1, round(DISC_MM / spacing[0])) | 1, 1, 1))
    soft = scipy.ndimage.binary_closing(bones, reach) | ((outside > WALL_MM[0]) & (outside < WALL_MM[1]))
    kinds = np.where(soft, INDEX["soft"], INDEX["fat"])
    np.copyto(structures, np.where(body, kinds, INDEX["air"]).astype(np.uint8), where=~labelled)
    return body


def _distance(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return the distance in mm of a mask's voxels to the nearest other voxel; slices continue beyond the ends."""
    return scipy.ndimage.distance_transform_edt(np.pad(mask, END_SLICES, mode="edge"), spacing)[2:-2]


def _mark_sinus(structures: np.ndarray, spacing: np.ndarray) -> None:
    """Turn fat and soft tissue within a kidney's hollow into its sinus, in place."""
    box = bounding_box(are(structures, KIDNEYS))
    if box is None:
        return
    box = enlarged(box, np.ceil(3 * SINUS_MM / spacing).astype(int).tolist(), structures.shape)
    for name in KIDNEYS:
        kidney = structures[box] == INDEX[name]
        if not kidney.any():
            continue
        near = scipy.ndimage.distance_transform_edt(~kidney, spacing) < SINUS_MM
        closed = scipy.ndimage.distance_transform_edt(near, spacing) > SINUS_MM
        loose = are(structures[box], ("fat", "soft", "loose_bone"))
        structures[box][closed & loose] = INDEX["sinus"]


def _signed_distance(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return the distance in mm to a mask's surface, positive inside, float32."""
    inside, half = _distance(mask, spacing), min(spacing) / 2
    return np.where(inside > 0, inside - half, half - _distance(~mask, spacing)).astype(np.float32)


def _resampled(
    structures: np.ndarray, depths: list[tuple[list[int], np.ndarray]], spacing: np.ndarray, fine_mm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return structures (uint8) and depths (int8 steps) on the grid of `fine_mm`, from the same first voxel.

    Each structure's share of a voxel is a cubic B-spline over its coarse voxels, and the largest share wins, so that
    surfaces are smooth instead of stepped.
    """
    weights = np.where(np.isin(np.arange(len(STRUCTURES)), indices(THIN)), THIN_WEIGHT, 1).astype(np.float32)
    shape = np.floor((np.array(structures.shape) - 1) * spacing / fine_mm).astype(int) + 1
    whole = Grid.regular(shape, fine_mm, (0, 0, 0))
    fine, fine_depths = np.empty(shape, np.uint8), np.empty(shape, np.int8)
    starts = itertools.product(*(range(0, count, BLOCK) for count in shape))
    for block in (tuple(slice(start, start + BLOCK) for start in corner) for corner in starts):
        grid = whole.crop(block)
        first = [max(int(axis[0] / step) - 2, 0) for axis, step in zip(grid.axes, spacing, strict=True)]
        last = [int(axis[-1] / step) + 3 for axis, step in zip(grid.axes, spacing, strict=True)]
        window = tuple(slice(start, stop + 1) for start, stop in zip(first, last, strict=True))
        low = np.array(first) * spacing
        present = np.unique(structures[window])
        shares = [Field((structures[window] == number) * weights[number], low, spacing) for number in present]
        if len(present) > 1:
            fine[block] = present[np.argmax([share.sample(grid) for share in shares], axis=0)]
        else:
            fine[block] = present[0]
        for numbers, depth in depths:
            own = np.isin(fine[block], numbers)
            if own.any():
                steps = Field(depth[window], low, spacing).sample(grid) / np.float32(DEPTH_STEP_MM)
                np.copyto(fine_depths[block], np.clip(steps, -127, 127).astype(np.int8), where=own)
    return fine, fine_depths
