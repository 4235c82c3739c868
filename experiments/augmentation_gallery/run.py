"""Draw what each augmentation does to a slice of a kidney network and to a cube of the tumor network."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from experiments import common, pictures
from kits_tf import geometry, kidney_crops, laterality
from kits_tf.arrays import NumPy
from kits_tf.config import NetworkConfig, preset
from kits_tf.simulation import simulate

STILL: dict[str, Any] = dict.fromkeys(
    ("max_rotation_degrees", "max_scaling", "max_shift_hu", "max_intensity_scaling", "max_noise_hu"), 0.0
)
OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "rotation": {"max_rotation_degrees": 30.0},
    "scaling": {"max_scaling": 0.3},
    "elastic": {"max_elastic_mm": 20.0},
    "shift": {"max_shift_hu": 80.0},
    "intensity scaling": {"max_intensity_scaling": 0.1},
    "gamma": {"max_gamma": 1.0},
    "noise": {"max_noise_hu": 80.0},
    "blur": {"max_blur_mm": 4.0},
    "low resolution": {"max_coarsening": 5.0},
}
OPTIONS["everything"] = {key: value / 2 for options in OPTIONS.values() for key, value in options.items()}
COLUMNS = 3  # pictures of an option
GRID = 96  # of the cube
MARGIN_MM = 25.0  # shown around the kidneys of a slice
LEAST_CHANGE_HU = 10.0


def main() -> None:
    """Draw both sheets."""
    parser = common.parser(__doc__, __file__)
    parser.add_argument("--seed", type=int, default=0, help="of the simulated CT")
    parser.add_argument("--picture_dir", type=pathlib.Path, default=common.ROOT / "docs" / "images")
    arguments = parser.parse_args()
    hu, labels, spacing_mm = simulate(arguments.seed, 0, size=256, slices=64)
    index = int((labels > 0).sum(axis=(1, 2)).argmax())
    kidney = dataclasses.replace(preset("paper", "kidney", "axial"), **STILL)
    draw_sheet(arguments.picture_dir / "augmentation_2d.png", hu[index], labels[index] > 0, spacing_mm[1:], kidney)
    tumor = dataclasses.replace(preset("paper", "tumor"), **STILL | {"grid": GRID})
    cube, label, cube_mm = largest_cube(hu, labels, spacing_mm, tumor)
    draw_sheet(arguments.picture_dir / "augmentation_3d.png", cube, label, cube_mm, tumor)
    common.write_result(arguments.output, {"seed": arguments.seed, "options": OPTIONS})


def largest_cube(hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float], config: Any) -> tuple:
    """Return (HU, tumor, spacing_mm) of the cube around the kidney with the largest tumor."""
    sides = laterality.kidney_sides(labels > 0, spacing_mm, labels.shape[2] / 2)
    kidney = max(laterality.kidneys(sides), key=lambda kidney: (labels[kidney.box] == 2).sum())
    side_mm = float(kidney_crops.cube_side_mm(NumPy, hu[kidney.box].shape, spacing_mm, config.margin_mm))
    scaled = geometry.scale(NumPy, hu[kidney.box], config.clip_hu) * (sides[kidney.box] == kidney.side)
    image, tumor = (
        kidney_crops.to_cube(NumPy, part, spacing_mm, config.margin_mm, config.grid)
        for part in (scaled, (labels[kidney.box] == 2).astype(np.float32))
    )
    return unscaled(image, config), tumor > 0.5, (side_mm / config.grid,) * 3


def unscaled(image: np.ndarray, config: Any) -> np.ndarray:
    """Return an image within [0, 1] in HU."""
    low, high = config.clip_hu
    return image * (high - low) + low


def draw_sheet(
    path: pathlib.Path, hu: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float], config: NetworkConfig
) -> None:
    """Draw what each option makes of an image, [rows, columns] or [slices, rows, columns]; two options a row."""
    planes: list[pictures.Plane] = []
    for number, (name, options) in enumerate(OPTIONS.items()):
        changed = dataclasses.replace(config, **options)
        for image, mask, aspect in samples(hu, label, spacing_mm, number, changed):
            planes.append((name, image, aspect, ((mask > 0.5, pictures.ORANGE),)))
    pictures.draw_sheet([planes[i : i + 2 * COLUMNS] for i in range(0, len(planes), 2 * COLUMNS)], path)


def samples(
    hu: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float], number: int, config: NetworkConfig
) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Yield COLUMNS pictures: samples of a slice, or planes of a cube's sample, through the tumor's middle.

    Blur and low resolution leave half of the samples as they are; those are not shown.
    """
    draws = (sample(hu, label, spacing_mm, (number, seed), config) for seed in range(20))
    changed = (drawn for drawn in draws if number == 0 or abs(drawn[0] - hu).max() > LEAST_CHANGE_HU)
    if hu.ndim == 3:
        cube, mask = next(changed)
        middle = [int(np.median(part)) for part in np.nonzero(label)]
        yield from ((cube.take(index, axis), mask.take(index, axis), 1.0) for axis, index in enumerate(middle))
        return
    margin = MARGIN_MM / spacing_mm[0]
    window = tuple(slice(max(0, int(part.min() - margin)), int(part.max() + margin)) for part in np.nonzero(label))
    for image, mask in itertools.islice(changed, COLUMNS):
        yield image[window], mask[window], spacing_mm[0] / spacing_mm[1]


def sample(
    hu: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float], seed: tuple[int, int], config: NetworkConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return one augmented sample as (HU, label)."""
    import tensorflow as tf

    from kits_tf.pipelines.augment import augment

    image = tf.constant(geometry.scale(NumPy, hu, config.clip_hu))[..., None]
    target = tf.constant(label.astype(np.float32))[..., None], 0.0
    image, [target] = augment(image, [target], tf.constant(spacing_mm, tf.float32), tf.constant(seed), config)
    return unscaled(image.numpy()[..., 0], config), target.numpy()[..., 0]


if __name__ == "__main__":
    main()
