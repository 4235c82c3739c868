"""Batches of half-slabs of CTs for the kidney networks, turned, scaled and shifted, in PyTorch."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from experiments.default_weights import samples
from experiments.default_weights.batches import (
    ABOVE,
    BELOW,
    Batch,
    Pool,
    blurred,
    other_phase,
    piecewise_linear,
    scaled,
    varied_intensity,
)
from kits_tf import geometry
from kits_tf.config import KidneyConfig, patch_size

SLABS_PER_CT = 8
SOFT_TISSUE_HU = -50.0


@dataclasses.dataclass(frozen=True)
class Volume:
    """A CT on the working grid, mapped from its files."""

    image: torch.Tensor  # int16 [slices, rows, columns]
    label: torch.Tensor  # uint8
    foreground: tuple[np.ndarray, np.ndarray]  # indices along the plane's axis with kidney, of the right and left half


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


def volume_of(path: pathlib.Path, plane: str) -> Volume:
    """Return the volume of a sample."""
    image, label = (np.load(path / name, mmap_mode="c") for name in (samples.IMAGE, samples.LABEL))
    middle, axis = label.shape[2] // 2, geometry.AXIS[plane]
    others = tuple(other for other in range(3) if other != axis)
    foreground = [
        np.flatnonzero(half.any(axis=others)) + (first if plane == "sagittal" else 0)
        for half, first in ((label[:, :, :middle], 0), (label[:, :, middle:], middle))
    ]
    return Volume(torch.from_numpy(image), torch.from_numpy(label), (foreground[0], foreground[1]))


def slabs(volume: Volume, config: KidneyConfig, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return half-slabs of one side of a CT, moved: images [n, 3, height, width] in [0, 1], labels [n, 1, ...].

    The left half is mirrored, so that each kidney looks like a right one; see `config.mirror`.
    """
    plane, axis = config.plane, geometry.AXIS[config.plane]
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
