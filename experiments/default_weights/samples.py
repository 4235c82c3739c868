"""What training reads of a CT: the volume on the working grid, and a cube around each kidney.

A sample is a folder with `image.npy` (int16 HU) and `label.npy` (uint8, kidney with tumor) on the working grid of the
kidney networks, cut to the body, and `cubes.npz`: for each kidney K that the kidney networks find, `image_K` (uint16,
scaled by `CUBE_UNIT`), `label_K` (uint8, share of tumor), `near_K` (uint8, 255 in the kidney as found, 0 from
`NEAR_MM` on), `voxel_mm_K` and `tumor_ml_K`. What stage 2 sees of a cube is decided by training. The folder appears
whole.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from experiments.default_weights.networks import config_of
from kits_tf import geometry, kidney_crops, laterality
from kits_tf.arrays import NumPy
from kits_tf.config import KidneyConfig, TumorConfig

if TYPE_CHECKING:
    from kits_tf.inference.segmenter import Segmenter

IMAGE, LABEL, CUBES, WRITING = "image.npy", "label.npy", "cubes.npz", ".writing"
CUBE_UNIT = 65535
CUBE_GRID = 64  # voxels along each side of a stored cube; training samples it more coarsely
MIN_SLICES, MIN_KIDNEY_VOXELS = 20, 100  # of a sample worth training on, on the working grid
NEAR_MM = 8.0  # the most that stage 2 may see around a kidney
SURROUNDINGS_MM = 6.0  # along each axis of a stored cube, more than `context_mm`, since training varies it

Spacing = Sequence[float]  # (slice, row, column), mm


@dataclasses.dataclass(frozen=True)
class Case:
    """A CT to learn from; axes I, P, L."""

    hu: np.ndarray  # float32 or int16 [slices, rows, columns]
    kidney: np.ndarray  # bool, with its tumors
    tumor: np.ndarray  # bool
    spacing_mm: Spacing


def write(case: Case, folder: pathlib.Path, segmenter: Segmenter) -> bool:
    """Write the sample of a case; return False if too little kidney is in it.

    Args:
        case: The CT.
        folder: Of the sample; a folder of that name with `WRITING` at its end is used meanwhile.
        segmenter: Finds the kidneys that stage 2 is given; where it finds none, these are the true ones.
    """
    inside = geometry.body_box(case.hu, case.spacing_mm).slices
    case = Case(case.hu[inside], case.kidney[inside], case.tumor[inside], case.spacing_mm)
    kidney, tumor = config_of("kidney_axial"), config_of("tumor")
    assert isinstance(kidney, KidneyConfig) and isinstance(tumor, TumorConfig)
    shape = geometry.working_shape(case.hu.shape, case.spacing_mm, kidney)
    label = geometry.resized(case.kidney.astype(np.uint8), shape) >= 0.5
    if min(shape) < MIN_SLICES or np.count_nonzero(label) < MIN_KIDNEY_VOXELS:
        return False
    sides = segmenter.run(case.hu, case.spacing_mm).sides
    if not sides.any():
        sides = segmenter.run(case.hu, case.spacing_mm, mask=case.kidney).sides
    writing = folder.with_name(folder.name + WRITING)
    writing.mkdir(parents=True)
    image = np.rint(geometry.resized(case.hu, shape, geometry.clipped))
    np.save(writing / IMAGE, image.astype(np.int16))
    np.save(writing / LABEL, label.astype(np.uint8))
    arrays: dict[str, Any] = {
        f"{name}_{number}": array
        for number, cube in enumerate(cubes(case, sides, tumor))
        for name, array in cube.items()
    }
    np.savez(writing / CUBES, **arrays)
    os.rename(writing, folder)
    return True


def cubes(case: Case, sides: np.ndarray, config: TumorConfig) -> Iterator[dict[str, np.ndarray]]:
    """Yield the arrays of the cube around each kidney of a side map, named as in the file but for the number."""
    for found in laterality.kidneys(sides):
        kidney, _ = laterality.with_context(sides, found, case.spacing_mm, SURROUNDINGS_MM)
        distance_mm = ndimage.distance_transform_edt(sides[kidney.box] != kidney.side, case.spacing_mm)
        tumor = case.tumor[kidney.box]
        side_mm = kidney_crops.cube_side_mm(NumPy, tumor.shape, np.array(case.spacing_mm), config.margin_mm)
        shares = {
            "image": geometry.scale(NumPy, case.hu[kidney.box], config.clip_hu),
            "label": tumor.astype(np.float32),
            "near": np.maximum(1 - distance_mm / NEAR_MM, 0).astype(np.float32),
        }
        arrays = {
            name: kidney_crops.to_cube(NumPy, share, np.array(case.spacing_mm), config.margin_mm, CUBE_GRID)
            for name, share in shares.items()
        }
        yield {
            "image": np.clip(arrays["image"] * CUBE_UNIT, 0, CUBE_UNIT).astype(np.uint16),
            "label": np.rint(np.clip(arrays["label"], 0, 1) * 255).astype(np.uint8),
            "near": np.rint(np.clip(arrays["near"], 0, 1) * 255).astype(np.uint8),
            "voxel_mm": np.float32(side_mm / CUBE_GRID),
            "tumor_ml": np.float32(np.count_nonzero(tumor) * np.prod(case.spacing_mm) / 1000),
        }


def largest_pieces(mask: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the largest connected components of a mask as masks, the largest first; fewer if it has fewer."""
    pieces = ndimage.label(mask)[0]
    order = 1 + np.argsort(np.bincount(pieces.ravel())[1:])[::-1]
    return [pieces == piece for piece in order[:count]]


def complete(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the samples that are completely written, sorted."""
    return sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.endswith(WRITING))


def remove_unfinished(folder: pathlib.Path) -> None:
    """Remove what an interrupted writer left."""
    for path in folder.glob(f"*{WRITING}"):
        shutil.rmtree(path)
