"""Fusion of the planes' kidney probabilities on the original grid, in one or two bytes per voxel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from kits_tf.config import FUSIONS, Config, KidneyConfig

THRESHOLD = 0.5
UNIT = 20_000  # fixed point of probabilities: three planes fit 16 bits


class Fusion:
    """Collects the probabilities of a number of planes and gives the kidney mask.

    A voxel is kidney if any plane finds it ("union"), more than half of them do ("majority"), or if their mean
    probability is above 0.5 ("mean"). `probability` needs two more bytes per voxel, except for "mean".
    """

    def __init__(self, shape: tuple[int, ...], method: str, planes: int, keeps_probability: bool = False) -> None:
        self._method = method
        self._planes = planes
        self._sums = np.zeros(shape, np.uint16 if method == "mean" else np.uint8)
        self._probability = self._sums
        if method != "mean":
            self._probability = np.zeros(shape if keeps_probability else (), np.uint16)

    def region(self, index: tuple[slice, ...]) -> Callable[[Callable[[np.ndarray], np.ndarray], np.ndarray], None]:
        """Return add(view, probability) for a part of the volume; see `kidney.Add`."""

        def add(view: Callable[[np.ndarray], np.ndarray], probability: np.ndarray) -> None:
            target = view(self._sums[index])
            if self._method == "mean":
                target += fixed_point(probability)
                return
            target += probability > THRESHOLD
            if self._probability.ndim:
                kept = view(self._probability[index])
                unite = np.maximum if self._method == "union" else np.add
                unite(kept, fixed_point(probability), out=kept)

        return add

    def mask(self) -> np.ndarray:
        """Return the fused mask, bool [slices, rows, columns]; nothing can be added afterwards."""
        if self._method == "mean":
            return self._sums > round(THRESHOLD * UNIT * self._planes)
        mask = self._sums.view(bool)  # in the same memory: a long CT has none to spare
        np.greater(self._sums, self._planes // 2 if self._method == "majority" else 0, out=mask)
        return mask

    def probability(self) -> np.ndarray:
        """Return the largest of the planes' probabilities for "union", else their mean: uint16 in 1 / `UNIT`."""
        if self._method != "union":
            for values in self._probability:
                np.rint(values / self._planes, out=values, casting="unsafe")
        return self._probability


def fusion_of_planes(configs: Mapping[str, Config]) -> str:
    """Return how the planes of a checkpoint are fused, an option that its kidney networks share."""
    return next((config.fusion for config in configs.values() if isinstance(config, KidneyConfig)), FUSIONS[0])


def fixed_point(probability: np.ndarray) -> np.ndarray:
    """Return probabilities as uint16 in units of 1 / `UNIT`."""
    return np.rint(probability * UNIT).astype(np.uint16)
