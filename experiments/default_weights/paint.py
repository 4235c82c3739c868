"""Paint lesions into the kidneys of real CTs: samples for training, and planted tumors for scoring.

python -m experiments.default_weights.paint --real_ct=DIR --output_dir=DIR

DIR of --real_ct holds NAME/imaging.nii.gz and NAME/kidney.nii.gz of each CT. Samples are written without end, up to
--num_samples; none is made twice. Shapes and textures are those of `kits_tf.simulation`, in HU relative to the kidney
around them.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.special import expit
from scipy.stats import special_ortho_group

import kits_tf
from experiments.default_weights import samples
from experiments.default_weights.samples import Case, Spacing
from kits_tf import checkpoint
from kits_tf.io.volume import read_labels, read_volume
from kits_tf.simulation.fields import Field, Grid, random_generator
from kits_tf.simulation.shapes import Shape, ellipsoid

HELD_OUT = ("hcc_015", "tcga_ov_2043")
"""People whose CTs no sample is made of; they begin the names of their folders."""

TUMOR_ML, CYST_ML = (0.6, 70.0), (0.3, 25.0)
KINDS = {"paler": 0.74, "alike": 0.08, "brighter": 0.18}  # than the kidney around it
SOFT_TISSUE_HU = (-200.0, 180.0)  # what an exophytic lesion may replace
CLEAR_CELL_SHARE = 0.25  # of the tumors of training; those planted for scores have none
PIXEL_MM = 1.2  # finer pixels are skipped, for speed
WORTH_ML = 10.0  # pieces of kidney that may get a lesion


class Lesion(NamedTuple):
    """A lesion before it is painted; mm (z, y, x)."""

    shape: Shape
    centre: np.ndarray
    radius: float
    axes: np.ndarray  # rows are its axes
    radii: np.ndarray


Texture = Callable[[Lesion, Grid, np.ndarray, float, np.random.Generator], np.ndarray]
"""Draws the HU of a lesion on a grid, from the depth of each voxel in mm and the HU of the kidney."""


def main() -> None:
    """Write samples without end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real_ct", type=pathlib.Path, required=True)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--num_samples", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint_dir", default=checkpoint.DEFAULT, help="whose kidney networks find the kidneys")
    arguments = parser.parse_args()
    names = training_cases(arguments.real_ct)
    cases = {name: read(arguments.real_ct / name) for name in names}
    segmenter = kits_tf.load_segmenter(arguments.checkpoint_dir, stage="kidney")
    for number in range(arguments.num_samples):
        name = names[number % len(names)]
        folder = arguments.output_dir / f"{name}_{arguments.seed}_{number:05d}"
        if not folder.exists():
            rng = random_generator(arguments.seed, number)
            samples.write(vary(cases[name], rng), folder, segmenter)


def training_cases(folder: pathlib.Path) -> list[str]:
    """Return the names of the CTs of people that are not held out."""
    names = sorted(path.parent.name for path in folder.glob("*/kidney.nii.gz"))
    return [name for name in names if not name.startswith(HELD_OUT)]


def read(folder: pathlib.Path) -> Case:
    """Return a CT with its kidneys."""
    volume, (labels, _) = read_volume(folder / "imaging.nii.gz"), read_labels(folder / "kidney.nii.gz")
    return Case(volume.hu, labels > 0, np.zeros(labels.shape, bool), volume.spacing_mm)


def vary(case: Case, rng: np.random.Generator) -> Case:
    """Return a CT with lesions in some kidneys, in some cases cut short, in most with thicker slices."""
    case = coarsened(case, rng)
    if rng.uniform() < 0.15:
        case = cut_short(case, rng)
    hu, kidney, tumor = case.hu.astype(np.float32), case.kidney.copy(), case.tumor.copy()
    pieces, count = ndimage.label(kidney)
    sizes_ml = np.bincount(pieces.ravel(), minlength=count + 1) * np.prod(case.spacing_mm) / 1000
    for piece in (number for number in range(1, count + 1) if sizes_ml[number] > WORTH_ML):
        own = pieces == piece
        for _ in range(rng.integers(1, 4) if rng.uniform() < 0.3 else 0):
            kidney |= paint(hu, own, case.spacing_mm, rng)
        for _ in range((1 if rng.uniform() < 0.9 else 2) if rng.uniform() < 0.7 else 0):
            painted = paint(hu, own, case.spacing_mm, rng, random_texture(rng))
            tumor |= painted
            kidney |= painted
    return thickened(Case(hu, kidney, tumor, case.spacing_mm), rng)


def coarsened(case: Case, rng: np.random.Generator) -> Case:
    """Return every second, third ... pixel of a CT with fine pixels, starting anywhere."""
    step = max(1, round(PIXEL_MM / case.spacing_mm[1]))
    row, column = rng.integers(step, size=2)
    index = (slice(None), slice(row, None, step), slice(column, None, step))
    slice_mm, row_mm, column_mm = case.spacing_mm
    return Case(case.hu[index], case.kidney[index], case.tumor[index], (slice_mm, row_mm * step, column_mm * step))


def cut_short(case: Case, rng: np.random.Generator) -> Case:
    """Return the part of a CT above or below a slice in the middle third of the kidneys."""
    there = np.flatnonzero(case.kidney.any(axis=(1, 2)))
    third = len(there) // 3
    at = int(rng.integers(there[0] + third, there[-1] - third + 1))
    part = slice(at, None) if rng.uniform() < 0.5 else slice(None, at)
    return Case(case.hu[part], case.kidney[part], case.tumor[part], case.spacing_mm)


def thickened(case: Case, rng: np.random.Generator) -> Case:
    """Return a CT with slices averaged to 2 to 8 mm, or as it is in 45 of 100."""
    if rng.uniform() < 0.45:
        return case
    slice_mm = rng.uniform(2, 5.5) if rng.uniform() < 0.85 else rng.uniform(5.5, 8)
    step = max(1, round(slice_mm / case.spacing_mm[0]))
    if step == 1:
        return case
    thickness, start = max(1, round(step * rng.uniform(0.7, 1.2))), int(rng.integers(step))

    def averaged(array: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter1d(array.astype(np.float32), thickness, axis=0)[start::step]

    kidney, tumor = averaged(case.kidney) >= 0.5, averaged(case.tumor) >= 0.5
    first, *inplane = case.spacing_mm
    return Case(averaged(case.hu), kidney | tumor, tumor, (first * step, *inplane))


def paint(
    hu: np.ndarray,
    kidney: np.ndarray,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    texture: Texture | None = None,
) -> np.ndarray:
    """Paint one lesion into a CT in place and return its mask; empty where there is no room for one.

    Args:
        hu: float32 [slices, rows, columns].
        kidney: bool of the same shape: the kidney that gets it.
        spacing_mm: (slice, row, column).
        rng: Draws the lesion.
        texture: Of a tumor; None paints a cyst, smooth, sharp and watery.
    """
    is_cyst = texture is None
    mask = np.zeros(hu.shape, bool)
    grid = Grid.regular(hu.shape, spacing_mm, (0.0, 0.0, 0.0))
    lesion = draw(kidney, spacing_mm, rng, is_cyst)
    box = grid.box(lesion.shape.bounds, margin=3)
    if box is None or min(part.stop - part.start for part in box) < 2:
        return mask
    part, own, near = hu[box], kidney[box], grid.crop(box)
    allowed = own | ((part > SOFT_TISSUE_HU[0]) & (part < SOFT_TISSUE_HU[1]))
    depth = lesion.shape.value(near)  # mm, negative inside
    inside, edge_mm = (depth < 0) & allowed, rng.uniform(0.3, 1.0 if is_cyst else 2.6)
    inner = texture(lesion, near, depth, parenchyma_hu(hu, kidney), rng) if texture else rng.uniform(-8, 22)
    weight = expit(-2 * depth / edge_mm) * ndimage.gaussian_filter(allowed.astype(np.float32), 0.5)
    part += weight * (inner + grain(part, own, rng) - part)
    for piece in samples.largest_pieces(inside, 1):
        mask[box] = piece
    return mask


def draw(kidney: np.ndarray, spacing_mm: Spacing, rng: np.random.Generator, is_cyst: bool) -> Lesion:
    """Return a lesion around a voxel of the kidney, up to half outside it: an ellipsoid, lobed if it is a tumor."""
    low, high = np.log(CYST_ML if is_cyst else TUMOR_ML)
    radius = float((np.exp(rng.uniform(low, high)) * 1000 * 3 / (4 * np.pi)) ** (1 / 3))
    voxels = np.argwhere(kidney)
    centre = voxels[rng.integers(len(voxels))] * np.array(spacing_mm)
    outwards = (centre - voxels.mean(axis=0) * spacing_mm) * (0.4, 1.0, 1.0)  # kidneys are long: less to the poles
    outwards /= np.linalg.norm(outwards) + 1e-6
    centre = centre + outwards * rng.uniform(-0.2, 0.55) * radius
    axes = special_ortho_group.rvs(3, random_state=rng).astype(np.float32)
    radii = np.exp(rng.normal(0, 0.16, 3))
    radii *= radius / np.prod(radii) ** (1 / 3)
    shape = ellipsoid(centre, radii, axes)
    if not is_cyst:
        field = Field.noise(rng, wider(shape, radius), max(6.0, rng.uniform(0.5, 1.2) * radius))
        shape = shape.roughened(field, rng.uniform(0.03, 0.22) * radius)
        if rng.uniform() < 0.5:
            field = Field.noise(rng, wider(shape, radius), max(3.0, rng.uniform(0.25, 0.6) * radius))
            shape = shape.roughened(field, rng.uniform(0.02, 0.1) * radius)
    return Lesion(shape, centre, radius, axes, radii)


def wider(shape: Shape, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the box of a shape and of what lies close to it, in mm."""
    low, high = shape.bounds
    return low - radius, high + radius


def random_texture(rng: np.random.Generator, kinds: Mapping[str, float] = KINDS) -> Texture:
    """Return the texture of a tumor of training: `clear_cell_texture`, or `tumor_texture` of some kinds."""
    return clear_cell_texture if rng.uniform() < CLEAR_CELL_SHARE else functools.partial(tumor_texture, kinds=kinds)


def tumor_texture(
    lesion: Lesion, grid: Grid, depth: np.ndarray, parenchyma: float, rng: np.random.Generator,
    kinds: Mapping[str, float] = KINDS,
) -> np.ndarray:  # fmt: skip
    """Return the HU of a tumor, float32 on a grid: solid, with a necrotic core, rim or calcifications in some."""
    noise = noise_of(lesion, grid, rng)
    kind = rng.choice(list(kinds), p=list(kinds.values()))
    hu = {
        "paler": max(rng.uniform(15, 45), parenchyma - rng.uniform(18, 120)),
        "alike": parenchyma + rng.uniform(-18, 18),
        "brighter": parenchyma + rng.uniform(15, 70),
    }[kind]
    texture = max(hu, 12.0) + rng.uniform(2, 22) * noise(rng.uniform(4, 14))
    texture = with_necrosis(texture, lesion, grid, noise, rng)
    if rng.uniform() < 0.25:
        texture += np.exp(-(((depth + 1.5) / 1.5) ** 2)) * rng.uniform(-15, 45)
    if rng.uniform() < 0.08:
        texture += (noise(3.5) > 2.3) * rng.uniform(100, 400)
    if rng.uniform() < 0.4:  # little enhancement, whatever the phase
        hu = min(rng.uniform(25, 100), max(20.0, parenchyma - 15))
        texture = hu + rng.uniform(0, 25) * noise(rng.uniform(3, 16)) + 0.3 * (texture - texture.mean())
    return texture.astype(np.float32)


def clear_cell_texture(
    lesion: Lesion, grid: Grid, depth: np.ndarray, parenchyma: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the HU of an uneven tumor, as bright as the kidney or brighter: clear cell carcinoma in early phases.

    Arguments as of `tumor_texture`.
    """
    noise = noise_of(lesion, grid, rng)
    texture = parenchyma + rng.uniform(5, 90) + rng.uniform(4, 32) * noise(rng.uniform(3, 9))
    return with_necrosis(texture, lesion, grid, noise, rng).astype(np.float32)


def with_necrosis(
    texture: np.ndarray, lesion: Lesion, grid: Grid, noise: Callable[[float], np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Return a tumor's HU, with a ragged necrotic core in 45 of 100 that are large enough; `noise`: of `noise_of`."""
    if rng.uniform() >= 0.45 or lesion.radius <= 8:
        return texture
    centre = lesion.centre + rng.normal(0, 0.12 * lesion.radius, 3)
    core = ellipsoid(centre, rng.uniform(0.35, 0.85) * lesion.radii, lesion.axes)
    ragged = core.value(grid) + rng.uniform(0.1, 0.3) * lesion.radius * noise(max(5.0, 0.5 * lesion.radius))
    share = expit(-ragged / rng.uniform(0.6, 3))
    return texture + share * (rng.uniform(0, 38) + 4 * noise(6.0) - texture)


def noise_of(lesion: Lesion, grid: Grid, rng: np.random.Generator) -> Callable[[float], np.ndarray]:
    """Return a function of a step in mm that draws smooth noise over a lesion, about 1 strong."""

    def noise(step_mm: float) -> np.ndarray:
        return Field.noise(rng, wider(lesion.shape, lesion.radius), step_mm).sample(grid)

    return noise


def parenchyma_hu(hu: np.ndarray, kidney: np.ndarray) -> float:
    """Return the median HU of a kidney without its surface."""
    inner = ndimage.binary_erosion(kidney, iterations=2)
    return float(np.median(hu[inner if inner.any() else kidney]))


def grain(part: np.ndarray, kidney: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return noise of the strength of a kidney's in a part of its CT."""
    strength = 12.0
    if np.count_nonzero(kidney) > 20:
        strength = float(np.std(part[kidney] - ndimage.uniform_filter(part, 3)[kidney]))
    noise = ndimage.gaussian_filter(rng.normal(size=part.shape), rng.uniform(0.3, 0.8))
    return (noise * (strength / (noise.std() + 1e-6))).astype(np.float32)


if __name__ == "__main__":
    main()
