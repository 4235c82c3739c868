"""Organ label maps: read and checked, grouped into structures, refined to a grid of about a millimetre."""

import dataclasses
import math

import numpy as np
import scipy.ndimage

from kits_tf.errors import InputError
from kits_tf.io import volume
from kits_tf.simulation.anatomy.refining import coarse_depths, refined
from kits_tf.simulation.anatomy.structures import INDEX, KIDNEYS, indices, structure_of
from kits_tf.simulation.anatomy.unlabelled import split_by_hu, split_by_shape

FINE_MM = 1.25  # voxels of the refined map are no larger, where memory allows
FINE_VOXELS = 80_000_000  # largest refined map; two arrays of a byte a voxel
AROUND_MM = 48.0  # air added at the sides, front and back, for bodies fatter than the map's
SINUS_MM = 11.0  # what lies between two parts of a kidney nearer than twice this is its sinus
UNLABELLED = 255  # for voxels that no label names


@dataclasses.dataclass
class OrganMap:
    """A map of structures, fine enough to be looked up at the nearest voxel.

    Attributes:
        structures: uint8 [z, y, x], axes (I, P, L), numbers of `structures.STRUCTURES`.
        depths: int8 [z, y, x], in steps of `refining.DEPTH_STEP_MM`: below a kidney's, the bowel's or a bone's own
            surface, for the rest of the body below the skin, for air minus the distance to the skin.
        low_mm: (z, y, x) mm of voxel (0, 0, 0), counted from the middle between the kidneys.
        spacing_mm: (z, y, x).
        kidneys_mm: (z, y, x) of the middle of each kidney there is, {structure: array [3]}.
    """

    structures: np.ndarray
    depths: np.ndarray
    low_mm: np.ndarray
    spacing_mm: np.ndarray
    kidneys_mm: dict

    @property
    def high_mm(self):
        """(z, y, x) mm of the last voxel."""
        return self.low_mm + self.spacing_mm * (np.array(self.structures.shape) - 1)


def read_organs(path, legend):
    """Reads an organ label map and checks it against its legend.

    Args:
        path: a NIfTI file in any orientation.
        legend: {label: name}.

    Returns:
        (structures uint8 [slices, rows, columns] with 255 where there is no label, spacing_mm), axes (I, P, L).

    Raises:
        InputError: no label volume, no labels, labels beyond the legend, no kidney.
    """
    read = volume.read_volume(path)
    labels = read.hu
    found = np.unique(labels)
    if not (found == np.rint(found)).all():
        raise InputError(path, f"holds {found[found != np.rint(found)][0]:g}, labels are whole numbers")
    found = [int(label) for label in found if label]
    if not found:
        raise InputError(path, "holds no labels")
    unknown = sorted(set(found) - set(legend))
    if unknown:
        raise InputError(path, f"holds the label {unknown[0]}, which the legend does not name")
    structures = np.full(labels.shape, UNLABELLED, np.uint8)
    for label in found:
        structure = structure_of(legend[label])
        where = labels == label
        if structure == "kidney":
            middle = np.arange(labels.shape[2]) < labels.shape[2] / 2
            structures[where & middle] = INDEX["kidney_right"]
            structures[where & ~middle] = INDEX["kidney_left"]
        else:
            structures[where] = INDEX[structure]
    if not np.isin(structures, indices(KIDNEYS)).any():
        raise InputError(path, "holds no kidney")
    return structures, read.spacing_mm


def check_ct(organs, ct_path):
    """Raises InputError where the CT of what `read_organs` returned lies on another grid; a path of None is fine.

    Organs and CT are compared by shape and spacing, as origins are often lost on the way.
    """
    structures, spacing_mm = organs
    if ct_path is not None:
        grid = volume.read_grid(ct_path)
        if grid.shape != structures.shape or not np.allclose(grid.spacing_mm, spacing_mm, rtol=0.01):
            raise InputError(ct_path, f"is on another grid than its organ map, of {structures.shape}")


def build_map(path, legend, ct_path=None):
    """The `OrganMap` of a file; with `ct_path`, its CT on the same grid, the unlabelled body is split by HU.

    Raises:
        InputError: as `read_organs` and `check_ct`.
    """
    organs = read_organs(path, legend)
    check_ct(organs, ct_path)
    return refine(*organs, None if ct_path is None else volume.read_volume(ct_path).hu)


def refine(structures, spacing_mm, hu=None):
    """An `OrganMap` of coarse structures [slices, rows, columns] with UNLABELLED voxels; arguments as read."""
    spacing = np.asarray(spacing_mm, float)
    pads = [(0, 0), *((math.ceil(AROUND_MM / mm),) * 2 for mm in spacing[1:])]
    structures = np.pad(structures, pads, constant_values=UNLABELLED)
    if hu is None:
        body = split_by_shape(structures, spacing, UNLABELLED)
    else:
        body = split_by_hu(structures, np.pad(hu, pads, constant_values=-1024), spacing, UNLABELLED)
    mark_sinus(structures, spacing)
    depths = coarse_depths(structures, body, spacing)
    centres = {
        name: np.argwhere(structures == INDEX[name]).mean(axis=0) * spacing
        for name in KIDNEYS
        if (structures == INDEX[name]).any()
    }
    middle = np.mean(list(centres.values()), axis=0)
    if len(centres) == 1:
        middle[2] = (structures.shape[2] - 1) / 2 * spacing[2]
    fine_mm = np.minimum(spacing, max(FINE_MM, (structures.size * spacing.prod() / FINE_VOXELS) ** (1 / 3)))
    fine, fine_depths = refined(structures, depths, spacing, fine_mm)
    centres = {name: centre - middle for name, centre in centres.items()}
    return OrganMap(fine, fine_depths, -middle, fine_mm, centres)


def mark_sinus(structures, spacing):
    """Calls what is unlabelled fat or soft tissue within a kidney's hollow its sinus, in place."""
    own = np.isin(structures, indices(KIDNEYS))
    box = scipy.ndimage.find_objects(own.astype(np.uint8))[0]
    reach = np.ceil(3 * SINUS_MM / spacing).astype(int)
    box = tuple(slice(max(s.start - k, 0), s.stop + k) for s, k in zip(box, reach, strict=True))
    for name in KIDNEYS:
        kidney = structures[box] == INDEX[name]
        if not kidney.any():
            continue
        near = scipy.ndimage.distance_transform_edt(~kidney, spacing) < SINUS_MM
        closed = scipy.ndimage.distance_transform_edt(near, spacing) > SINUS_MM
        loose = np.isin(structures[box], indices(("fat", "soft", "loose_bone")))
        structures[box][closed & loose] = INDEX["sinus"]
