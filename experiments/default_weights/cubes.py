"""Batches of cubes around kidneys for the tumor network, turned, scaled and shifted, in PyTorch.

Tumors are those of the samples, some of them recolored, and others that are painted anew into kidneys without one.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from experiments.default_weights import paint, samples
from experiments.default_weights.batches import Batch, Pool, other_phase, scaled, varied_intensity
from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import TumorConfig

ARTERIAL = ("arterial", "lidc_0001")  # in the names of samples of arterial CTs
TRIES = 40  # at drawing a kidney with a tumor, or without
CUBE_TYPES = (("image", np.int16), ("label", np.uint8), ("near", np.uint8))
MIN_TUMOR_VOXELS, MIN_FOUND_VOXELS = 12, 200
CONTEXT_MM = (1.2, 6.0)  # around the kidneys found, in all directions
CONTEXT_VOXELS = (0.2, 0.7, 0.1)  # or along each axis, as `context_mm`: chances of none, one and two voxels
SOFT_SHARE = 0.7  # of cubes whose surroundings fade at the border, as where prediction resamples them
HIDDEN_HU = 14.0  # a tumor that differs less from its kidney is hardly seen
RECOLORED_SHARE = 0.12  # of tumors that are not brighter than their kidney
RECOLORED_HU = (-35.0, 95.0)  # over the kidney
LOBE_HU = (2.0, 35.0)  # of a recolored tumor, standard deviation
PAINTED_TUMORS, PAINTED_CYSTS = 0.6, 0.3  # shares of kidneys with a tumor, and of others, that get one, or cysts
PAINTED_KINDS = {"paler": 0.62, "alike": 0.14, "brighter": 0.24}  # hard ones more often than in `paint.KINDS`
CURVED_SHARE = 0.08  # of cubes that get the contrast of another phase
VARIED_SHARE = 0.12  # of cubes whose gamma, gain and shift vary at full strength
LEAST_STRENGTH = 0.15  # of these changes in other cubes


@dataclasses.dataclass(frozen=True)
class Cube:
    """The cube around a kidney, with surroundings; see `samples`."""

    image: torch.Tensor  # int16, the bits of uint16 [grid, grid, grid]
    label: torch.Tensor  # uint8
    near: torch.Tensor  # uint8
    voxel_mm: float
    tumor_ml: float
    has_tumor: bool
    is_arterial: bool
    contrast_hu: float  # of the tumor's median to the kidney's; NaN where either is too small to tell

    @property
    def chance(self) -> float:
        """How likely the cube is taken when it is drawn: a tumor seldom if hardly seen, often if of 1.2 to 6 ml."""
        if not self.has_tumor:
            return 1.0
        chance = 0.5 if abs(self.contrast_hu) < HIDDEN_HU else 1.0
        tumor_ml = self.tumor_ml
        return chance * (0.4 if tumor_ml < 1.2 else 1.3 if tumor_ml < 6 else 0.6 if tumor_ml > 40 else 1.0)


class CubePool(Pool[Cube]):
    """Batches of cubes around kidneys for the tumor network."""

    def __init__(self, config: TumorConfig, *options: Any) -> None:
        super().__init__(*options)
        self.config = config

    def read(self, path: pathlib.Path) -> list[Cube]:
        return cubes_of(path, self.config)

    def batch(self) -> Batch:
        drawn = [self._cube() for _ in range(self.phase.batch_size)]
        arrays = [
            torch.stack([cube_image(cube, self.config, self.rng), cube.label / 255, seen(cube, self.rng)])
            for cube in drawn
        ]
        image, label, inside = moved_cubes(torch.stack(arrays), self.phase.grid).split(1, dim=1)
        sharp = (inside >= 0.5).float()
        strength = torch.where(torch.rand(len(image), 1, 1, 1, 1) < VARIED_SHARE, 1.0, LEAST_STRENGTH)
        inside = torch.where(torch.rand(len(inside), 1, 1, 1, 1) < SOFT_SHARE, inside, sharp)
        return {
            "image": (varied_intensity(image, strength) * inside).permute(0, 2, 3, 4, 1),
            "label": (label * sharp >= 0.5).float().permute(0, 2, 3, 4, 1),
            "tumor_ml": torch.tensor([cube.tumor_ml for cube in drawn]),
        }

    def _cube(self) -> Cube:
        """Return a kidney, with a tumor in a share `foreground_fraction` of draws."""
        items, wanted = self.real_or_simulated(), self.rng.uniform() < self.config.foreground_fraction
        arterial = items is self.items[0] and self.rng.uniform() < self.phase.arterial_share
        paints = self.rng.uniform() < (PAINTED_TUMORS if wanted else PAINTED_CYSTS)
        for _ in range(TRIES):
            cube = self.draw(items)
            fits = cube.has_tumor == (wanted and not paints) and (cube.is_arterial or not arterial)
            if fits and self.rng.uniform() < cube.chance:
                break
        return painted(cube, self.config, self.rng, wanted) if paints and not cube.has_tumor else cube


def cubes_of(path: pathlib.Path, config: TumorConfig) -> list[Cube]:
    """Return the cubes of a sample."""
    with np.load(path / samples.CUBES) as file:
        arrays = dict(file)
    arterial = any(word in path.name for word in ARTERIAL)
    found = []
    for number in range(len(arrays) // 5):
        image, label, near = (torch.from_numpy(arrays[f"{name}_{number}"].view(kind)) for name, kind in CUBE_TYPES)
        has_tumor = int((label > 127).sum()) > MIN_TUMOR_VOXELS
        voxel_mm, tumor_ml = (float(arrays[f"{name}_{number}"]) for name in ("voxel_mm", "tumor_ml"))
        contrast_hu = contrast_of(image, label, near, config) if has_tumor else math.nan
        found.append(Cube(image, label, near, voxel_mm, tumor_ml, has_tumor, arterial, contrast_hu))
    return found


def contrast_of(image: torch.Tensor, label: torch.Tensor, near: torch.Tensor, config: TumorConfig) -> float:
    """Return the contrast of a cube's tumor, HU; NaN where tumor or kidney is too small to tell."""
    values, (low, high) = cube_values(image), config.clip_hu
    tumor, kidney = values[label > 200], values[(near > 250) & (label < 40)]
    if len(tumor) <= 10 or len(kidney) <= 50:
        return math.nan
    return float(tumor.median() - kidney.median()) * (high - low)


def cube_values(image: torch.Tensor) -> torch.Tensor:
    """Return the image of a cube in [0, 1]."""
    return (image.int() & samples.CUBE_UNIT).float() / samples.CUBE_UNIT


def cube_image(cube: Cube, config: TumorConfig, rng: np.random.Generator) -> torch.Tensor:
    """Return the image of a cube in [0, 1], seldom in another phase; air stays 0.

    HU are kept in most cubes, as only they tell a cyst from a dark tumor.
    """
    image = recolored(cube, config, rng) if rng.uniform() < RECOLORED_SHARE else cube_values(cube.image)
    if rng.uniform() >= CURVED_SHARE:
        return image
    low, high = config.clip_hu
    hu = other_phase(image * (high - low) + low, rng).clamp(low + 1, high)
    return torch.where(image > 0, scaled(hu, config), image)


def recolored(cube: Cube, config: TumorConfig, rng: np.random.Generator) -> torch.Tensor:
    """Return the image of a cube with its tumor at a random contrast and in lobes; a bright tumor stays as it is.

    Bright tumors are rare, so that a network would learn where the few lie rather than what they look like.
    """
    image = cube_values(cube.image)
    if not cube.contrast_hu < HIDDEN_HU:
        return image
    low, high = config.clip_hu
    coarse = torch.from_numpy(rng.normal(size=(1, 1, *[rng.integers(4, 20)] * 3)).astype(np.float32))
    lobes = F.interpolate(coarse, size=image.shape, mode="trilinear")[0, 0]
    change_hu = rng.uniform(*RECOLORED_HU) - cube.contrast_hu + rng.uniform(*LOBE_HU) * lobes
    changed = image + cube.label / 255 * (change_hu / (high - low))
    return torch.where(image > 0, changed.clamp(1 / samples.CUBE_UNIT, 1), image)


def painted(cube: Cube, config: TumorConfig, rng: np.random.Generator, has_tumor: bool) -> Cube:
    """Return a kidney without a tumor with cysts or a tumor painted into it, and found with them.

    It is returned as it is where there is no room. Painting a CT takes seconds, a cube some hundredths of one: so no
    lesion is seen twice.
    """
    (low, high), kidney, values = config.clip_hu, cube.near.numpy() > 250, cube_values(cube.image).numpy()
    if np.count_nonzero(kidney) < MIN_FOUND_VOXELS or cube.label.any():
        return cube
    hu, spacing_mm = values * (high - low) + low, (cube.voxel_mm,) * 3
    cyst, tumor = np.zeros(kidney.shape, bool), np.zeros(kidney.shape, bool)
    for _ in range(int(rng.uniform() < 0.25) if has_tumor else rng.integers(1, 3)):
        cyst |= paint.paint(hu, kidney, spacing_mm, rng)
    if has_tumor:
        tumor = paint.paint(hu, kidney, spacing_mm, rng, paint.random_texture(rng, PAINTED_KINDS))
        if np.count_nonzero(tumor) <= MIN_TUMOR_VOXELS or not (tumor & kidney).any():
            return cube
    image = np.maximum(geometry.scale(NumPy, hu, config.clip_hu), 1 / samples.CUBE_UNIT) * (values > 0)
    return dataclasses.replace(
        cube,
        image=torch.from_numpy(np.rint(image * samples.CUBE_UNIT).astype(np.uint16).view(np.int16)),
        label=torch.from_numpy(tumor.astype(np.uint8) * 255),
        near=torch.from_numpy(np.where(tumor | cyst, 255, cube.near)),
        tumor_ml=np.count_nonzero(tumor) * cube.voxel_mm**3 / 1000,
        has_tumor=has_tumor,
    )


def seen(cube: Cube, rng: np.random.Generator) -> torch.Tensor:
    """Return what stage 2 sees of a cube, 1 or 0: the kidney as found and some mm around it, or everything.

    Kidneys of people that networks have learned from are found better than others: in half of those with a tumor a
    part of the tumor is taken as not found.
    """
    if rng.uniform() < 0.06:
        return torch.ones(cube.near.shape)
    found, tumor = cube.near.numpy() > 250, cube.label.numpy() > 127
    if cube.has_tumor and rng.uniform() < 0.5:
        field = ndimage.zoom(rng.normal(size=(4, 4, 4)), samples.CUBE_GRID // 4, order=1)
        rest = found & ~(tumor & (field < np.quantile(field[tumor], rng.uniform(0.1, 0.7))))
        found = rest if np.count_nonzero(rest) > MIN_FOUND_VOXELS else found
    return dilated(found, cube.voxel_mm, rng)


def dilated(found: np.ndarray, voxel_mm: float, rng: np.random.Generator) -> torch.Tensor:
    """Return a mask and its surroundings, 1 or 0: up to two voxels along each axis, or some mm in all directions."""
    if rng.uniform() < 0.45:
        distance_mm = ndimage.distance_transform_edt(~found) * voxel_mm
        return torch.from_numpy((distance_mm <= rng.uniform(*CONTEXT_MM)).astype(np.float32))
    reach = [int(n) for n in rng.choice(3, size=3, p=CONTEXT_VOXELS)]
    mask = torch.from_numpy(found.astype(np.float32))[None]
    return F.max_pool3d(mask, [2 * n + 1 for n in reach], stride=1, padding=reach)[0]


def moved_cubes(cubes: torch.Tensor, size: int) -> torch.Tensor:
    """Return cubes [n, channels, *[size] * 3] turned about all axes, scaled, shifted, and half of them mirrored."""
    count = len(cubes)
    angles, scale = torch.randn(count, 3) * 0.22, torch.exp(torch.randn(count) * 0.12)
    cos, sin, matrix = torch.cos(angles), torch.sin(angles), torch.eye(3).repeat(count, 1, 1)
    for number, (first, second) in enumerate(((0, 1), (0, 2), (1, 2))):
        turn = torch.eye(3).repeat(count, 1, 1)
        turn[:, first, first] = turn[:, second, second] = cos[:, number]
        turn[:, first, second], turn[:, second, first] = -sin[:, number], sin[:, number]
        matrix = matrix @ turn
    matrix = matrix * scale[:, None, None]
    matrix[:, :, 0] *= torch.where(torch.rand(count) < 0.5, -1.0, 1.0)[:, None]
    affine = torch.cat([matrix, torch.randn(count, 3, 1) * 0.04], 2)
    halved = 2 * size <= cubes.shape[2]  # sampled finely and averaged, since sampling alone would alias
    grid = F.affine_grid(affine, [count, 1, *[size * (2 if halved else 1)] * 3], align_corners=False)
    moved = F.grid_sample(cubes, grid, align_corners=False)
    return F.avg_pool3d(moved, 2) if halved else moved
