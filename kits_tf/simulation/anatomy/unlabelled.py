"""What no label names: air around the body and, within it, fat, muscle, bone and gas; by the CT's HU or by shape."""

import numpy as np
import scipy.ndimage

from kits_tf.simulation.anatomy.structures import INDEX

BODY_HU = -300.0
FAT_HU, BONE_HU = -30.0, 150.0
SKIN_MM = 4.0  # soft tissue nearer to the surface is skin, which is drawn anew for each body
HOLLOW_MM = 55.0  # labels nearer to each other than twice this have the body's inside between them
WALL_MM, UNDER_SKIN_MM = 11.0, 16.0  # muscle wall and fat put around labels without a CT


def split_by_hu(structures, hu, spacing, unlabelled):
    """Fills the `unlabelled` voxels of `structures` in place by their HU.

    Args:
        structures: uint8 [z, y, x].
        hu: the CT on the same grid.
        spacing: mm (z, y, x).
        unlabelled: the number of voxels without a label.

    Returns:
        The body, bool [z, y, x].
    """
    labelled = structures != unlabelled
    body = largest(scipy.ndimage.binary_opening((hu > BODY_HU) | labelled, np.ones((1, 3, 3)))) | labelled
    body = np.stack([scipy.ndimage.binary_fill_holes(plane) for plane in body])
    depth = scipy.ndimage.distance_transform_edt(np.pad(body, [(2, 2), (0, 0), (0, 0)], mode="edge"), spacing)[2:-2]
    calm = scipy.ndimage.gaussian_filter(np.asarray(hu, np.float32), 0.6)
    kinds = np.select(
        [hu < BODY_HU, calm < FAT_HU, depth < SKIN_MM, calm > BONE_HU],
        [INDEX["gas"], INDEX["fat"], INDEX["fat"], INDEX["loose_bone"]],
        INDEX["soft"],
    )
    # A voxel of gas at the skin is half of air.
    kinds[(kinds == INDEX["gas"]) & (depth < SKIN_MM)] = INDEX["fat"]
    fill(structures, body, kinds, unlabelled)
    return body


def split_by_shape(structures, spacing, unlabelled):
    """Fills the `unlabelled` voxels in place: a hull around all labels is lined with fat, then muscle, then fat."""
    labelled = structures != unlabelled
    padded = np.pad(labelled, [(2, 2), (0, 0), (0, 0)], mode="edge")
    outside = scipy.ndimage.distance_transform_edt(~padded, spacing)
    hull = scipy.ndimage.distance_transform_edt(outside < HOLLOW_MM, spacing) > HOLLOW_MM
    hull |= padded
    beyond = scipy.ndimage.distance_transform_edt(~hull, spacing)[2:-2]
    body = beyond < WALL_MM + UNDER_SKIN_MM
    kinds = np.where((beyond > 0) & (beyond < WALL_MM), INDEX["soft"], INDEX["fat"])
    fill(structures, body, kinds, unlabelled)
    return body


def fill(structures, body, kinds, unlabelled):
    """Gives the unlabelled voxels of the body their kinds, and the others air, in place."""
    loose = structures == unlabelled
    structures[loose] = np.where(body, kinds, INDEX["air"])[loose]


def largest(mask):
    """The largest connected part of a mask."""
    numbered, _ = scipy.ndimage.label(mask)
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    return numbered == sizes.argmax()
