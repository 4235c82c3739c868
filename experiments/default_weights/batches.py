"""Random training batches from samples of real and simulated CTs, in PyTorch on the CPU.

Slabs and cubes are turned, scaled and shifted by one interpolation, and their HU changed: contrast as in other phases
or in none, gain, noise and blur.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from experiments.default_weights import samples
from experiments.default_weights.networks import PHASES, Phase
from kits_tf.config import KidneyConfig, TumorConfig, patch_size

SLABS_PER_CT = 8
BELOW, ABOVE = -1100.0, 3100.0  # HU that all curves keep
HU_KNOTS = np.array([0, 40, 80, 120, 160, 200, 260, 400.0])
ARTERIAL = ("arterial", "lidc_0001")  # in the names of samples of arterial CTs
TRIES = 40  # at drawing a kidney with a tumor, or without
SOFT_TISSUE_HU = -50.0
CUBE_TYPES = (("image", np.int16), ("label", np.uint8), ("near", np.uint8))
MIN_TUMOR_VOXELS, MIN_FOUND_VOXELS = 12, 200
CONTEXT_MM = (3.0, 8.0)  # around the kidneys found, in all directions; `context_mm` is along the axes
VOXEL_MM = 2.1  # of a cube, about
HIDDEN_HU = 14.0  # a tumor that differs less from its kidney is hardly seen
RECOLORED_SHARE = 0.4  # of tumors that are not brighter than their kidney
RECOLORED_HU = (-35.0, 95.0)  # over the kidney
LOBE_HU = (2.0, 35.0)  # of a recolored tumor, standard deviation

Batch = dict[str, torch.Tensor]
"""Float32: "image" [batch, *spatial, channels] in [0, 1]; "label", 0 or 1; "tumor_ml" [batch] for cubes."""


@dataclasses.dataclass(frozen=True)
class Volume:
    """A CT on the working grid, mapped from its files."""

    image: torch.Tensor  # int16 [slices, rows, columns]
    label: torch.Tensor  # uint8
    foreground: tuple[np.ndarray, np.ndarray]  # indices along the plane's axis with kidney, of the right and left half


@dataclasses.dataclass(frozen=True)
class Cube:
    """The cube around a kidney, with surroundings; see `samples`."""

    image: torch.Tensor  # int16, the bits of uint16 [grid, grid, grid]
    label: torch.Tensor  # uint8
    near: torch.Tensor  # uint8
    tumor_ml: float
    has_tumor: bool
    is_arterial: bool
    contrast_hu: float  # of the tumor's median to the kidney's; NaN where either is too small to tell

    @property
    def chance(self) -> float:
        """How likely the cube is taken when it is drawn: a tumor seldom if hardly seen, often if hard to learn.

        Tumors brighter than their kidney, and those of 1.2 to 6 ml, are learned last.
        """
        if not self.has_tumor:
            return 1.0
        chance = 0.4 if abs(self.contrast_hu) < HIDDEN_HU else 1.0 if self.contrast_hu > 0 else 0.6
        tumor_ml = self.tumor_ml
        return chance * (0.3 if tumor_ml < 1.2 else 1.3 if tumor_ml < 6 else 0.6 if tumor_ml > 40 else 1.0)


Item = TypeVar("Item", Volume, Cube)


class Pool(Generic[Item]):
    """Real and simulated items of one network, which grow as samples are written; makes batches of them.

    Args:
        folders: Of real and of simulated samples.
        rng: Draws batches.
        phase: Of the training; may be replaced by the next.
    """

    def __init__(self, folders: Sequence[pathlib.Path], rng: np.random.Generator, phase: Phase) -> None:
        self.rng = rng
        self.phase = phase
        self.items: list[list[Item]] = [[] for _ in folders]
        self._folders = list(folders)
        self._seen: set[pathlib.Path] = set()

    def load(self) -> None:
        """Read the samples that have been written since the last call."""
        for folder, items in zip(self._folders, self.items, strict=True):
            for path in samples.complete(folder):
                if path not in self._seen:
                    self._seen.add(path)
                    items += self.read(path)

    def read(self, path: pathlib.Path) -> list[Item]:
        """Return the items of a sample."""
        raise NotImplementedError

    def batch(self) -> Batch:
        """Return a random batch."""
        raise NotImplementedError

    def real_or_simulated(self) -> list[Item]:
        """Return the items to draw the next one from."""
        real, simulated = self.items
        return real if real and (not simulated or self.rng.uniform() < self.phase.real_share) else simulated

    def draw(self, items: list[Item]) -> Item:
        """Return a random item."""
        return items[int(self.rng.integers(len(items)))]


class SlabPool(Pool[Volume]):
    """Batches of half-slabs for a kidney network."""

    def __init__(self, config: KidneyConfig, *options: Any) -> None:
        super().__init__(*options)
        self.config = config

    def read(self, path: pathlib.Path) -> list[Volume]:
        return [volume_of(path, self.config.plane)]

    def batch(self) -> Batch:
        volumes = [self.draw(self.real_or_simulated()) for _ in range(self.phase.batch_size // SLABS_PER_CT)]
        drawn = [slabs(volume, self.config, self.rng) for volume in volumes]
        image, label = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        image = varied_intensity(image)
        return {"image": image.permute(0, 2, 3, 1), "label": (label >= 0.5).float().permute(0, 2, 3, 1)}


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
        inside = (inside >= 0.5).float()
        return {
            "image": (varied_intensity(image) * inside).permute(0, 2, 3, 4, 1),
            "label": (label * inside >= 0.5).float().permute(0, 2, 3, 4, 1),
            "tumor_ml": torch.tensor([cube.tumor_ml for cube in drawn]),
        }

    def _cube(self) -> Cube:
        """Return a kidney, with a tumor in a share `foreground_fraction` of draws."""
        items, wanted = self.real_or_simulated(), self.rng.uniform() < self.config.foreground_fraction
        arterial = items is self.items[0] and self.rng.uniform() < self.phase.arterial_share
        for _ in range(TRIES):
            cube = self.draw(items)
            fits = cube.has_tumor == wanted and (cube.is_arterial or not arterial)
            if fits and self.rng.uniform() < cube.chance:
                break
        return cube


def pool_of(
    config: KidneyConfig | TumorConfig, folders: Sequence[pathlib.Path], rng: np.random.Generator
) -> SlabPool | CubePool:
    """Return the pool that a network trains on, in its first phase."""
    options = folders, rng, PHASES[config.stage][0]
    return CubePool(config, *options) if isinstance(config, TumorConfig) else SlabPool(config, *options)


def volume_of(path: pathlib.Path, plane: str) -> Volume:
    """Return the volume of a sample."""
    image, label = (np.load(path / name, mmap_mode="c") for name in (samples.IMAGE, samples.LABEL))
    middle, axis = label.shape[2] // 2, {"axial": 0, "coronal": 1, "sagittal": 2}[plane]
    others = tuple(other for other in range(3) if other != axis)
    foreground = [
        np.flatnonzero(half.any(axis=others)) + (first if plane == "sagittal" else 0)
        for half, first in ((label[:, :, :middle], 0), (label[:, :, middle:], middle))
    ]
    return Volume(torch.from_numpy(image), torch.from_numpy(label), (foreground[0], foreground[1]))


def cubes_of(path: pathlib.Path, config: TumorConfig) -> list[Cube]:
    """Return the cubes of a sample."""
    with np.load(path / samples.CUBES) as file:
        arrays = dict(file)
    arterial = any(word in path.name for word in ARTERIAL)
    found = []
    for number in range(len(arrays) // 4):
        image, label, near = (torch.from_numpy(arrays[f"{name}_{number}"].view(kind)) for name, kind in CUBE_TYPES)
        has_tumor = int((label > 127).sum()) > MIN_TUMOR_VOXELS
        tumor_ml = float(arrays[f"tumor_ml_{number}"])
        contrast_hu = contrast_of(image, label, near, config) if has_tumor else math.nan
        found.append(Cube(image, label, near, tumor_ml, has_tumor, arterial, contrast_hu))
    return found


def contrast_of(image: torch.Tensor, label: torch.Tensor, near: torch.Tensor, config: TumorConfig) -> float:
    """Return the contrast of a cube's tumor, HU; NaN where tumor or kidney is too small to tell."""
    values, (low, high) = cube_values(image), config.clip_hu
    tumor, kidney = values[label > 200], values[(near > 250) & (label < 40)]
    if len(tumor) <= 10 or len(kidney) <= 50:
        return math.nan
    return float(tumor.median() - kidney.median()) * (high - low)


def slabs(volume: Volume, config: KidneyConfig, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return half-slabs of one side of a CT, moved: images [n, 3, height, width] in [0, 1], labels [n, 1, ...].

    The left half is mirrored, so that each kidney looks like a right one; see `config.mirror`.
    """
    plane, axis = config.plane, {"axial": 0, "coronal": 1, "sagittal": 2}[config.plane]
    is_left, middle, size = bool(rng.integers(2)), volume.image.shape[2] // 2, volume.image.shape[axis]
    low, high = (0, size) if plane != "sagittal" else (middle, size) if is_left else (0, middle)
    indices = rng.integers(low, high, SLABS_PER_CT)
    foreground = volume.foreground[is_left]
    chosen = rng.uniform(size=SLABS_PER_CT) < config.foreground_fraction
    if len(foreground):
        indices[chosen] = foreground[rng.integers(0, len(foreground), chosen.sum())]
    neighbours = torch.from_numpy(np.clip(indices[:, None] + np.array([-1, 0, 1]), 0, size - 1))
    if is_left and plane == "sagittal":
        neighbours = neighbours.flip(1)
    order = {"axial": (0, 1, 2, 3), "coronal": (1, 2, 0, 3), "sagittal": (2, 3, 0, 1)}[plane]

    def cut(array: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
        index = (slice(None),) * axis + (along,)
        return array[index].permute(order)

    image, label = cut(volume.image, neighbours).float(), cut(volume.label, neighbours[:, 1:2]).float()
    if plane != "sagittal":
        columns = slice(middle, None) if is_left else slice(0, middle)
        image, label = (part[..., columns].flip(-1) if is_left else part[..., columns] for part in (image, label))
    image = varied_contrast(image, label, rng)
    return moved_slabs(scaled(image, config), label, patch_size(config))


def varied_contrast(hu: torch.Tensor, label: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return HU as without contrast medium in 22 of 100, in another phase in 23; kidneys changed apart in 30."""
    draw = rng.uniform()
    if draw < 0.22:
        hu = unenhanced(hu, rng)
    elif draw < 0.45:
        hu = other_phase(hu, rng)
    if rng.uniform() < 0.3:
        kidney = blurred(label, "constant") if rng.uniform() < 0.5 else label
        change = rng.uniform(-60, 40) * (0.4 if draw < 0.22 else 1.0)
        hu = hu + kidney * (hu > SOFT_TISSUE_HU) * float(change)
    return hu


def unenhanced(hu: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return what an enhanced CT may look like without contrast medium: soft tissue alike, with noise of its own."""
    share, low, high = rng.uniform(0.05, 0.3), rng.uniform(10, 40), rng.uniform(170, 330)
    top = high + rng.uniform(80, 200)
    flat = piecewise_linear(hu, [BELOW, low, high, top, ABOVE], [BELOW, low, low + share * (high - low), top, ABOVE])
    noise = torch.randn(hu.shape) * float(rng.uniform(3, 22))
    if rng.uniform() < 0.6:
        noise = 2 * blurred(noise)
    return torch.where(hu > -900, flat + noise, hu)


def other_phase(hu: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return HU under a random rising curve over soft tissue."""
    steps = np.diff(HU_KNOTS) * np.exp(rng.normal(0, 0.5, len(HU_KNOTS) - 1))
    values = np.concatenate([[0], np.cumsum(steps)]) + rng.uniform(-10, 10)
    top = max(ABOVE, values[-1] + 500)
    return piecewise_linear(hu, [BELOW, -150, *HU_KNOTS, ABOVE], [BELOW, -150, *values, top])


def piecewise_linear(x: torch.Tensor, knots: Sequence[float], values: Sequence[float]) -> torch.Tensor:
    """Return the piecewise linear function through the points (knots, values)."""
    at, to = torch.tensor(knots, dtype=torch.float32), torch.tensor(values, dtype=torch.float32)
    piece = torch.bucketize(x.contiguous(), at[1:-1])
    slope = (to[1:] - to[:-1]) / (at[1:] - at[:-1])
    return to[:-1][piece] + (x - at[:-1][piece]) * slope[piece]


def blurred(x: torch.Tensor, border: str = "replicate") -> torch.Tensor:
    """Return images averaged over 3 x 3 pixels."""
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode=border), 3, 1)


def scaled(hu: torch.Tensor, config: KidneyConfig | TumorConfig) -> torch.Tensor:
    """Return HU clipped and scaled to [0, 1]."""
    low, high = config.clip_hu
    return (hu.clamp(low, high) - low) / (high - low)


def moved_slabs(image: torch.Tensor, label: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return slabs [n, channels, height, width] turned, scaled, sheared in aspect, shifted and cut to a size."""
    count, (height, width), (rows, columns) = len(image), image.shape[-2:], size
    angle, scale, aspect = (torch.randn(count) * 0.1, *(torch.exp(torch.randn(count) * s) for s in (0.12, 0.06)))
    cos, sin = torch.cos(angle), torch.sin(angle)
    room = torch.tensor([max(0, height - rows), max(0, width - columns)])
    shift = (torch.rand(count, 2) - 0.5) * room + torch.randn(count, 2) * torch.tensor([4.0, 3.0])
    y, x = torch.meshgrid(*(torch.arange(n) - n / 2 + 0.5 for n in size), indexing="ij")
    turned = torch.stack([scale * aspect * cos, -scale * sin, scale * sin, scale / aspect * cos], 1)[..., None, None]
    at_y = turned[:, 0] * y + turned[:, 1] * x + shift[:, 0, None, None]
    at_x = turned[:, 2] * y + turned[:, 3] * x + shift[:, 1, None, None]
    grid = torch.stack([2 * at_x / width, 2 * at_y / height], -1)  # 0 is the middle
    moved = F.grid_sample(torch.cat([image, label], 1), grid, padding_mode="zeros", align_corners=False)
    return moved[:, : image.shape[1]], moved[:, image.shape[1] :]


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


def cube_values(image: torch.Tensor) -> torch.Tensor:
    """Return the image of a cube in [0, 1]."""
    return (image.int() & samples.CUBE_UNIT).float() / samples.CUBE_UNIT


def cube_image(cube: Cube, config: TumorConfig, rng: np.random.Generator) -> torch.Tensor:
    """Return the image of a cube in [0, 1], in another phase in 30 of 100; air stays 0."""
    image = recolored(cube, config, rng) if rng.uniform() < RECOLORED_SHARE else cube_values(cube.image)
    if rng.uniform() >= 0.3:
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


def seen(cube: Cube, rng: np.random.Generator) -> torch.Tensor:
    """Return what stage 2 sees of a cube, 1 or 0: the kidney as found and some mm around it, or everything.

    Kidneys of people that networks have learned from are found better than others: in a fifth of those with a tumor a
    part of the tumor is taken as not found.
    """
    reach_mm = rng.uniform(*CONTEXT_MM)
    if rng.uniform() < 0.12:
        return torch.ones(cube.near.shape)
    near = (cube.near.float() / 255 >= 1 - reach_mm / samples.NEAR_MM).float()
    if not cube.has_tumor or rng.uniform() > 0.45:
        return near
    tumor = cube.label.numpy() > 127
    field = ndimage.zoom(rng.normal(size=(4, 4, 4)), samples.CUBE_GRID // 4, order=1)
    lost = tumor & (field < np.quantile(field[tumor], rng.uniform(0.15, 0.85)))
    found = (cube.near.numpy() > 250) & ~lost
    if np.count_nonzero(found) < MIN_FOUND_VOXELS:
        return near
    return torch.from_numpy((ndimage.distance_transform_edt(~found) * VOXEL_MM <= reach_mm).astype(np.float32))


def varied_intensity(image: torch.Tensor) -> torch.Tensor:
    """Return images [n, channels, *spatial] with random gamma, gain, shift and noise, slabs blurred; 0 stays 0."""
    count, shape = len(image), (len(image), *[1] * (image.dim() - 1))

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(shape) * (high - low) + low

    varied = image.clamp_min(1e-5) ** torch.exp(torch.randn(shape) * 0.1)
    varied = varied * uniform(0.9, 1.1) + uniform(-25, 25) / 600
    varied = varied + torch.randn_like(varied) * (uniform(0, 1) ** 2 * 22 / 600)
    if image.dim() == 4:
        share = (torch.rand(count) < 0.3).float().reshape(shape) * uniform(0, 0.5)
        varied = (1 - share) * varied + share * blurred(varied)
    return torch.where(image > 0, varied.clamp(0, 1), torch.zeros_like(varied))
