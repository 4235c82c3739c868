"""Tumors of real shape, planted into the kidneys of real CTs that have none, to measure weights on.

The shapes are those of KiTS19's labels, read and placed anew for each measurement. These labels are CC BY-NC-SA: no
shape is stored here, and none is trained on. Nothing is shared with the painter of the training data, `paint`.

A tumor keeps its size and outline. It goes where it sat: along the body axis by its share of the kidney's length,
around the kidney in the same direction (mirrored for the other side), as far out of its convex hull as before.

Solid tumor has the HU measured in patients, mean and standard deviation, for a cortex of `CORTEX_HU`; enhancement
grows with that of the CT's own cortex. Frequencies, necrosis and scars follow surgical series.

| | corticomedullary | nephrographic | source |
| --- | --- | --- | --- |
| clear cell | 125 (hypovascular ones far less) | about 105 | multiphasic series with histology, Young 2013 |
| papillary | 54; 32 to 100 if homogeneous | 18 to 95 | Young 2013; 114 tumors, two institutions, AJR 2018 |
| chromophobe | 74 | about 80 | Young 2013 |
| oncocytoma | 106 | about 100 | Young 2013; small hypervascular ones reach 150 |

Necrosis and cyst are 5 to 30 HU. Noise has the strength and the grain of the CT's soft tissue around that kidney.
"""

from __future__ import annotations

import pathlib
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage, signal, spatial

from experiments.default_weights.samples import Case, Spacing, largest_pieces
from kits_tf.boxes import Box, bounding_box, enlarged
from kits_tf.data import kits19
from kits_tf.io.volume import read_labels
from kits_tf.simulation.fields import random_generator

SEED = 2019
TUMOR_ML = (1.5, 50.0)
MIN_KIDNEY_ML, MIN_PIECE_SHARE = 60.0, 0.95  # of a donor: kidney left beside the tumor, tumor in its largest piece
UNENHANCED_HU, CORTEX_HU, FLUID_HU = 35.0, 170.0, (5.0, 30.0)
NEPHROGRAPHIC_SHARE = 0.62  # of the cortex's enhancement, from which on the median of a kidney is nephrographic
AIR_HU, BONE_HU, FAT_HU = -200.0, 200.0, -20.0  # bone and vessels are brighter, fat is darker
MOST_BONE, MOST_CUT, MOST_OTHER = 0.01, 0.05, 0.25  # shares of a shape in bone or air, cut off, in other soft tissue
LEAST_SHARED, MOST_PROTRUDING = 0.1, 0.8  # shares of a shape in the kidney, outside its hull
CAPSULE_SHARE, CAPSULE_MM = 0.3, 1.2
PATCH, LAG = 16, 7  # voxels, of the patches and lags that noise is measured on


class Look(NamedTuple):
    """How a subtype appears."""

    share: float  # of all tumors
    corticomedullary_hu: tuple[float, float]  # mean, standard deviation between patients
    nephrographic_hu: tuple[float, float]
    mottle: float  # standard deviation within a tumor, as a share of its enhancement
    necrosis: tuple[float, float]  # probability at 1 ml, added for each factor of e
    dead: tuple[float, float]  # share of a tumor that is then without enhancement


LOOKS = {
    "clear_cell": Look(0.72, (125, 32), (105, 22), 0.20, (0.25, 0.12), (0.08, 0.45)),
    "papillary": Look(0.13, (54, 14), (64, 14), 0.06, (0.05, 0.10), (0.05, 0.30)),
    "chromophobe": Look(0.07, (74, 16), (80, 15), 0.10, (0.05, 0.05), (0.05, 0.15)),
    "oncocytoma": Look(0.08, (106, 28), (100, 22), 0.08, (0.10, 0.08), (0.04, 0.12)),
}


class Donor(NamedTuple):
    """A tumor and its kidney, in a box around both."""

    name: str
    kidney: np.ndarray  # bool, without the tumor
    tumor: np.ndarray  # bool
    spacing_mm: Spacing
    is_right: bool


class Planted(NamedTuple):
    """A CT with a planted tumor, and what it is."""

    case: Case
    contrast_hu: float  # median of the tumor minus that of the kidney
    donor: str
    subtype: str


def planted(case: Case, name: str, shapes: pathlib.Path, count: int) -> Iterator[Planted]:
    """Yield CTs with one planted tumor each, the same for the same name.

    Args:
        case: A CT with two kidneys.
        name: Of the CT; decides which tumors it gets.
        shapes: Folder of labels in KiTS19's layout.
        count: Number of tumors, each of another donor; fewer where no more fit.
    """
    rng = random_generator(SEED, zlib.crc32(name.encode()))
    sides = sorted(largest_pieces(case.kidney, 2), key=lambda piece: float(np.nonzero(piece)[2].mean()))  # right, left
    quantiles = (rng.permutation(count) + rng.random()) / count
    bounds = np.cumsum([look.share for look in LOOKS.values()])[:-1]
    subtypes = [list(LOOKS)[index] for index in np.searchsorted(bounds, quantiles)]
    found = kits19.find_cases(shapes)
    for index in rng.permutation(len(found)):
        donor = read_donor(found[index])
        if donor is None:
            continue
        for side in rng.permutation(2):
            kidney = sides[side]
            tumor = fitted(case, kidney, shape_at(on_side(donor, side == 0), kidney, case.spacing_mm))
            if tumor is not None:
                subtype = subtypes.pop()
                yield Planted(*paint(case, kidney, tumor, LOOKS[subtype], rng), donor.name, subtype)
                break
        if not subtypes:
            return


def read_donor(found: kits19.Case) -> Donor | None:
    """Return the tumor of a case with its kidney; None if it is too small, too large or in several pieces."""
    if found.label is None:
        return None
    labels, grid = read_labels(found.label)
    box = bounding_box(labels > 0)
    if box is None:
        return None
    voxel_ml = float(np.prod(grid.spacing_mm)) / 1000
    tumors = largest_pieces(labels[box] == 2, 1)
    if not tumors or np.count_nonzero(tumors[0]) < MIN_PIECE_SHARE * np.count_nonzero(labels[box] == 2):
        return None
    [tumor] = tumors
    tumor_ml = np.count_nonzero(tumor) * voxel_ml
    pieces = ndimage.label(labels[box] > 0)[0]
    kidney = (pieces == pieces[tumor][0]) & (labels[box] == 1)
    if not TUMOR_ML[0] <= tumor_ml <= TUMOR_ML[1] or kidney.sum() * voxel_ml < MIN_KIDNEY_ML:
        return None
    is_right = np.nonzero(kidney)[2].mean() + box[2].start < labels.shape[2] / 2
    inside = around_mask(kidney | tumor, 0, grid.spacing_mm)
    return Donor(found.id, kidney[inside], tumor[inside], grid.spacing_mm, bool(is_right))


def on_side(donor: Donor, is_right: bool) -> Donor:
    """Return a donor, mirrored if it is of the other side."""
    if donor.is_right == is_right:
        return donor
    return Donor(donor.name, donor.kidney[..., ::-1], donor.tumor[..., ::-1], donor.spacing_mm, is_right)


def points(mask: np.ndarray, spacing_mm: Spacing, most: int = 4000) -> np.ndarray:
    """Return centres of a mask's voxels, evenly thinned, in mm, [n, 3]."""
    found = np.argwhere(mask)
    return (found[:: 1 + len(found) // most] + 0.5) * np.asarray(spacing_mm)


def shape_at(donor: Donor, kidney: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Return the donor's tumor where it belongs in another kidney, bool of that kidney's shape."""
    theirs, tumor = points(donor.kidney, donor.spacing_mm), points(donor.tumor, donor.spacing_mm)
    ours = points(kidney, spacing_mm)
    centre, reach = tumor.mean(0), np.ptp(tumor[:, 0]) / 2
    both = np.concatenate([theirs, tumor])[:, 0]
    share = (centre[0] - both.min()) / np.ptp(both)
    level = ours[:, 0].min() + share * np.ptp(ours[:, 0])
    offset = centre - around(theirs, centre[0], reach)
    start = around(ours, level, reach) + offset
    start[0] = level
    outwards = start - ours.mean(0)
    outwards /= np.linalg.norm(outwards)
    protruding = min(outside(hull(theirs), tumor), MOST_PROTRUDING)
    kidney_hull, slides = hull(ours), np.arange(-40.0, 41.0)
    costs = [
        abs(outside(kidney_hull, tumor - centre + start + slide * outwards) - protruding) + 0.002 * abs(slide)
        for slide in slides
    ]
    target = start + slides[int(np.argmin(costs))] * outwards
    return moved(donor, target - centre, kidney.shape, spacing_mm)


def around(kidney: np.ndarray, level: float, reach: float) -> np.ndarray:
    """Return the centroid of a kidney's points within some mm of a level; of all if there are none."""
    near = np.abs(kidney[:, 0] - level) <= reach
    return kidney[near].mean(0) if near.any() else kidney.mean(0)


def hull(kidney: np.ndarray) -> spatial.Delaunay:
    """Return the convex hull of a kidney's points, as simplices."""
    return spatial.Delaunay(kidney[spatial.ConvexHull(kidney).vertices])


def outside(kidney: spatial.Delaunay, tumor: np.ndarray) -> float:
    """Return the share of a tumor's points outside the hull of a kidney."""
    return float(np.mean(kidney.find_simplex(tumor[::4]) < 0))


def moved(donor: Donor, shift_mm: np.ndarray, shape: tuple[int, ...], spacing_mm: Spacing) -> np.ndarray:
    """Return the donor's tumor on another grid; between slices its surface is that of the signed distance."""
    tumor = np.pad(donor.tumor, 2)
    inside, beyond = (ndimage.distance_transform_edt(mask, donor.spacing_mm) for mask in (tumor, ~tumor))
    ours, theirs = np.asarray(spacing_mm), np.asarray(donor.spacing_mm)
    low = np.clip((shift_mm - 2 * theirs) // ours, 0, shape).astype(int)
    high = np.clip((shift_mm + donor.tumor.shape * theirs) // ours + 2, low, shape).astype(int)
    offset = ((low + 0.5) * ours - shift_mm) / theirs - 0.5 + 2
    placed = np.zeros(shape, bool)
    box = tuple(map(slice, low, high))
    placed[box] = (
        ndimage.affine_transform(inside - beyond, ours / theirs, offset, tuple(high - low), order=1, cval=-1e3) > 0
    )
    return placed


def fitted(case: Case, kidney: np.ndarray, tumor: np.ndarray) -> np.ndarray | None:
    """Return a shape without what would replace air, bone or a vessel; None if it does not fit there."""
    if not tumor.any() or any(tumor.take(index, axis).any() for axis in range(3) for index in (0, -1)):
        return None
    box = around_mask(tumor, 10, case.spacing_mm)
    hu, shape = ndimage.gaussian_filter(case.hu[box].astype(np.float32), (0, 1, 1)), tumor[box]
    free = ndimage.distance_transform_edt(~kidney[box], case.spacing_mm) > 3
    barred = ndimage.binary_dilation((hu < AIR_HU) | ((hu > BONE_HU) & free), iterations=2)
    if np.mean(barred[shape]) > MOST_BONE:
        return None
    pieces = largest_pieces(ndimage.binary_opening(shape & ~barred & ~(case.kidney[box] & free)), 1)
    if not pieces or np.count_nonzero(pieces[0]) < (1 - MOST_CUT) * np.count_nonzero(shape):
        return None
    [kept] = pieces
    if np.mean(((hu > FAT_HU) & free)[kept]) > MOST_OTHER or np.mean(kidney[box][kept]) < LEAST_SHARED:
        return None
    whole = np.zeros_like(tumor)
    whole[box] = kept
    return whole


def around_mask(mask: np.ndarray, margin_mm: float, spacing_mm: Spacing) -> Box:
    """Return the box of a mask and some mm around it."""
    box = bounding_box(mask)
    assert box is not None
    return enlarged(box, [round(margin_mm / size) for size in spacing_mm], mask.shape)


def paint(
    case: Case, kidney: np.ndarray, tumor: np.ndarray, look: Look, rng: np.random.Generator
) -> tuple[Case, float]:
    """Return the CT with a tumor in a place, and its contrast to the kidney in HU."""
    box, surround = around_mask(tumor, 8, case.spacing_mm), around_mask(kidney, 30, case.spacing_mm)
    depth_mm = ndimage.distance_transform_edt(tumor[box], case.spacing_mm)
    ml = np.count_nonzero(tumor) * float(np.prod(case.spacing_mm)) / 1000
    cortex_hu, is_nephrographic = phase(case.hu[surround], kidney[surround], case.spacing_mm)
    texture = solid(look, depth_mm, ml, cortex_hu, is_nephrographic, case.spacing_mm, rng)
    texture = ndimage.gaussian_filter(texture, (0.4, 0.6, 0.6)) + noise(case.hu[surround], depth_mm.shape, rng)
    weight = ndimage.gaussian_filter(tumor[box].astype(np.float32), (0.4, 0.7, 0.7))
    hu = case.hu.astype(np.float32)
    hu[box] += weight * (texture - hu[box])
    contrast = float(np.median(hu[tumor]) - np.median(case.hu[kidney]))
    return Case(np.rint(hu).astype(np.int16), case.kidney | tumor, tumor, case.spacing_mm), round(contrast, 1)


def phase(hu: np.ndarray, kidney: np.ndarray, spacing_mm: Spacing) -> tuple[float, bool]:
    """Return the HU of a kidney's cortex and whether the medulla is about as bright."""
    smooth = ndimage.gaussian_filter(hu.astype(np.float32), [0, 1 / spacing_mm[1], 1 / spacing_mm[2]])
    median, cortex = np.percentile(smooth[kidney], [50, 95])
    return float(cortex), bool(median - UNENHANCED_HU > NEPHROGRAPHIC_SHARE * (cortex - UNENHANCED_HU))


def solid(
    look: Look, depth_mm: np.ndarray, ml: float, cortex_hu: float, is_nephrographic: bool, spacing_mm: Spacing,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Return the HU of a tumor without noise, float32 of the shape of the depth below its surface."""
    mean, deviation = look.nephrographic_hu if is_nephrographic else look.corticomedullary_hu
    enhancement = max(mean + deviation * np.clip(rng.normal(), -2, 2) - UNENHANCED_HU, 8)
    enhancement *= (cortex_hu - UNENHANCED_HU) / (CORTEX_HU - UNENHANCED_HU)
    coarse, fine, patches = (smooth_noise(depth_mm.shape, mm, spacing_mm, rng) for mm in (4.0, 1.8, 5.0))
    enhancing = 1 + look.mottle * (0.8 * coarse + 0.6 * fine)
    if rng.random() < CAPSULE_SHARE:
        enhancing -= 0.4 * np.exp(-(((depth_mm - CAPSULE_MM / 2) / CAPSULE_MM) ** 2))
    texture = UNENHANCED_HU + enhancement * np.maximum(enhancing, 0.1)
    if rng.random() < look.necrosis[0] + look.necrosis[1] * np.log(ml):
        inner = depth_mm / depth_mm.max() + rng.uniform(0.2, 0.5) * patches
        limit = np.quantile(inner[depth_mm > 0], 1 - rng.uniform(*look.dead))
        dead = ndimage.gaussian_filter((inner > limit).astype(np.float32), 0.8 / np.asarray(spacing_mm))
        texture += dead * (rng.uniform(*FLUID_HU) - texture)
    return texture.astype(np.float32)


def smooth_noise(shape: tuple[int, ...], mm: float, spacing_mm: Spacing, rng: np.random.Generator) -> np.ndarray:
    """Return Gaussian noise of mean 0 and standard deviation 1 with structures of some mm."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), mm / np.asarray(spacing_mm))
    return (field - field.mean()) / field.std()


def trend(patch: np.ndarray) -> np.ndarray:
    """Return what changes linearly along rows and columns of a patch."""
    down = np.linspace(-1, 1, PATCH)[:, None]
    return (down * np.mean(down * patch) + down.T * np.mean(down.T * patch)) / np.mean(down**2)


def noise(hu: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return noise with the autocovariance of a CT's most even soft tissue, in slices and from one to the next."""
    smooth = ndimage.gaussian_filter(hu.astype(np.float32), (0, 3, 3))
    found: list[tuple[float, np.ndarray]] = []
    for corner in np.ndindex(*(n // step for n, step in zip(hu.shape, (2, PATCH // 2, PATCH // 2), strict=True))):
        z, y, x = np.multiply(corner, (2, PATCH // 2, PATCH // 2))
        part = np.s_[z : z + 2, y : y + PATCH, x : x + PATCH]
        patch = hu[part].astype(np.float32)
        if patch.shape == (2, PATCH, PATCH) and smooth[part].min() > 0 and np.median(patch) < BONE_HU:
            found.append((float(np.std(smooth[part])), patch - np.mean(patch) - trend(patch)))
    even = np.stack([patch for _, patch in sorted(found, key=lambda one: one[0])[: max(10, len(found) // 20)]])
    lags = np.mean([signal.correlate(one, one) for one in even.reshape(-1, PATCH, PATCH)], axis=0)
    overlap = np.outer(*2 * [PATCH - np.abs(np.arange(1 - PATCH, PATCH))])
    middle = np.s_[PATCH - 1 - LAG : PATCH + LAG, PATCH - 1 - LAG : PATCH + LAG]
    taper = np.outer(*2 * [signal.windows.hann(2 * LAG + 3)[1:-1]])
    covariance = np.zeros(np.maximum(shape[1:], 2 * LAG + 1))
    covariance[: 2 * LAG + 1, : 2 * LAG + 1] = (lags / overlap)[middle] * taper
    amplitude = np.sqrt(np.abs(np.fft.fft2(covariance)))
    along = float(np.clip(np.mean(even[:, 0] * even[:, 1]) / np.mean(even**2), 0, 0.95))
    made = np.fft.ifft2(np.fft.fft2(rng.standard_normal((shape[0], *covariance.shape))) * amplitude).real
    for index in range(1, len(made)):
        made[index] = along * made[index - 1] + np.sqrt(1 - along**2) * made[index]
    return made[:, : shape[1], : shape[2]].astype(np.float32)
