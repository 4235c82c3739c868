"""What training reads of a CT: the volume on the working grid, and a cube around each kidney.

A sample is a folder with `image.npy` (int16 HU) and `label.npy` (uint8, kidney with tumor) on the working grid of the
kidney networks, cut to the body, and `cubes.npz`: for each kidney K, as a kidney network might have found it,
`image_K` (uint16, scaled by `CUBE_UNIT`), `label_K` (uint8, tumor) and `tumor_ml_K`. The folder appears whole.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from experiments.default_weights.networks import config_of
from kits_tf import geometry, kidney_crops, laterality
from kits_tf.arrays import NumPy
from kits_tf.config import KidneyConfig, TumorConfig

IMAGE, LABEL, CUBES, WRITING = "image.npy", "label.npy", "cubes.npz", ".writing"
CUBE_UNIT = 65535
CUBE_GRID = 64  # voxels along each side of a stored cube; training samples it more coarsely
MIN_SLICES, MIN_KIDNEY_VOXELS = 20, 100  # of a sample worth training on, on the working grid
LATTICE = (7, 9, 11)  # control points of the field that moves a kidney's surface

Spacing = Sequence[float]  # (slice, row, column), mm


@dataclasses.dataclass(frozen=True)
class Case:
    """A CT to learn from; axes I, P, L."""

    hu: np.ndarray  # float32 or int16 [slices, rows, columns]
    kidney: np.ndarray  # bool, with its tumors
    tumor: np.ndarray  # bool
    spacing_mm: Spacing


def write(case: Case, folder: pathlib.Path, rng: np.random.Generator, found: np.ndarray | None = None) -> bool:
    """Write the sample of a case; return False if too little kidney is in it.

    Args:
        case: The CT.
        folder: Of the sample; a folder of that name with `WRITING` at its end is used meanwhile.
        rng: Draws how the kidneys were found.
        found: The kidneys that stage 2 is given; by default those of `found_kidneys`.
    """
    inside = geometry.body_box(case.hu, case.spacing_mm).slices
    case = Case(case.hu[inside], case.kidney[inside], case.tumor[inside], case.spacing_mm)
    found = found_kidneys(case.kidney, case.spacing_mm, rng) if found is None else found[inside]
    kidney, tumor = config_of("kidney_axial"), config_of("tumor")
    assert isinstance(kidney, KidneyConfig) and isinstance(tumor, TumorConfig)
    shape = geometry.working_shape(case.hu.shape, case.spacing_mm, kidney)
    label = geometry.resized(case.kidney.astype(np.uint8), shape) >= 0.5
    if min(shape) < MIN_SLICES or np.count_nonzero(label) < MIN_KIDNEY_VOXELS:
        return False
    writing = folder.with_name(folder.name + WRITING)
    writing.mkdir(parents=True)
    image = np.rint(geometry.resized(case.hu, shape, geometry.clipped))
    np.save(writing / IMAGE, image.astype(np.int16))
    np.save(writing / LABEL, label.astype(np.uint8))
    arrays: dict[str, np.ndarray] = {}
    for number, (cube, tumor_label, tumor_ml) in enumerate(cubes(case, found, tumor)):
        arrays[f"image_{number}"] = np.clip(cube * CUBE_UNIT, 0, CUBE_UNIT).astype(np.uint16)
        arrays |= {f"label_{number}": tumor_label.astype(np.uint8), f"tumor_ml_{number}": np.float32(tumor_ml)}
    np.savez(writing / CUBES, **arrays)
    os.rename(writing, folder)
    return True


def found_kidneys(
    kidney: np.ndarray,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    max_blur_mm: float = 3.0,
    max_displacement: float = 0.24,
) -> np.ndarray:
    """Return kidneys as a network might find them: smoothed, with the surface moved by a smooth random field.

    Args:
        kidney: bool [slices, rows, columns].
        spacing_mm: (slice, row, column).
        rng: Draws blur, field and threshold.
        max_blur_mm: Largest standard deviation of the smoothing.
        max_displacement: Largest standard deviation of the field, in units of the smoothed mask.
    """
    soft = ndimage.gaussian_filter(kidney.astype(np.float32), rng.uniform(0.5, max_blur_mm) / np.array(spacing_mm))
    lattice = rng.normal(0, rng.uniform(0.02, max_displacement), LATTICE).astype(np.float32)
    soft += ndimage.zoom(lattice, np.array(kidney.shape) / LATTICE, order=1)
    return soft > rng.uniform(0.35, 0.6)


def cubes(case: Case, found: np.ndarray, config: TumorConfig) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Yield for each kidney found its cube, float32 in [0, 1], its tumor, bool, and the tumor's ml in its box."""
    least = config.min_component_ml, config.min_agreement
    sides = laterality.kidney_sides(found, tuple(case.spacing_mm), case.hu.shape[2] // 2, *least)
    for kidney in laterality.kidneys(sides):
        mask = sides[kidney.box] == kidney.side
        tumor = case.tumor[kidney.box]
        image = geometry.scale(NumPy, case.hu[kidney.box], config.clip_hu) * mask
        label = (tumor & mask).astype(np.float32)
        cube, tumor_label = (
            kidney_crops.to_cube(NumPy, array, np.array(case.spacing_mm), config.margin_mm, CUBE_GRID)
            for array in (image.astype(np.float32), label)
        )
        yield cube, tumor_label >= 0.5, float(np.count_nonzero(tumor) * np.prod(case.spacing_mm) / 1000)


def complete(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the samples that are completely written, sorted."""
    return sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.endswith(WRITING))


def remove_unfinished(folder: pathlib.Path) -> None:
    """Remove what an interrupted writer left."""
    for path in folder.glob(f"*{WRITING}"):
        shutil.rmtree(path)
