"""Random training batches from samples that are being written, and random changes of their HU, in PyTorch.

HU are changed to the contrast of other phases, and by gain, noise and blur. `slabs` and `cubes` make the batches of
the kidney networks and of the tumor network.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from experiments.default_weights import samples
from experiments.default_weights.networks import Phase
from kits_tf.config import KidneyConfig, TumorConfig

BELOW, ABOVE = -1100.0, 3100.0  # HU that all curves keep
HU_KNOTS = np.array([0, 40, 80, 120, 160, 200, 260, 400.0])

Batch = dict[str, torch.Tensor]
"""Float32: "image" [batch, *spatial, channels] in [0, 1]; "label", 0 or 1; "tumor_ml" [batch] for cubes."""

Item = TypeVar("Item")


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


def scaled(hu: torch.Tensor, config: KidneyConfig | TumorConfig) -> torch.Tensor:
    """Return HU clipped and scaled to [0, 1]."""
    low, high = config.clip_hu
    return (hu.clamp(low, high) - low) / (high - low)


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


def varied_intensity(image: torch.Tensor, strength: torch.Tensor | float = 1.0) -> torch.Tensor:
    """Return images [n, channels, *spatial] with random gamma, gain, shift and noise, slabs blurred; 0 stays 0.

    Args:
        image: float32, in [0, 1].
        strength: [n, 1, ...] or one for all: of changes of gamma, gain and shift.
    """
    count, shape = len(image), (len(image), *[1] * (image.dim() - 1))

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(shape) * (high - low) + low

    varied = image.clamp_min(1e-5) ** torch.exp(torch.randn(shape) * 0.1 * strength)
    varied = varied * (1 + uniform(-0.1, 0.1) * strength) + uniform(-25, 25) / 600 * strength
    varied = varied + torch.randn_like(varied) * (uniform(0, 1) ** 2 * 22 / 600)
    if image.dim() == 4:
        share = (torch.rand(count) < 0.3).float().reshape(shape) * uniform(0, 0.5)
        varied = (1 - share) * varied + share * blurred(varied)
    return torch.where(image > 0, varied.clamp(0, 1), torch.zeros_like(varied))


def blurred(x: torch.Tensor, border: str = "replicate") -> torch.Tensor:
    """Return images averaged over 3 x 3 pixels."""
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode=border), 3, 1)
