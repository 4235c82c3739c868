"""Fusion of the planes' kidney probabilities on the original grid, one byte or two a voxel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

THRESHOLD = 0.5
UNIT = 20_000  # fixed point of probabilities: three planes fit 16 bits


class Fusion:
    """Collects the probabilities of each plane and gives the kidney mask.

    Args:
        shape: (slices, rows, columns) of the volume.
        method: "union" (a voxel is kidney if any plane finds it), "majority" (more than half of the planes) or "mean"
            (mean probability above 0.5).
        planes: Number of planes.
        keeps_probability: Whether `probability` will be called; two bytes more a voxel unless the method is "mean".
    """

    def __init__(self, shape: tuple[int, ...], method: str, planes: int, keeps_probability: bool = False) -> None:
        self._method = method
        self._planes = planes
        self._sums = np.zeros(shape, np.uint16 if method == "mean" else np.uint8)
        self._probability = self._sums
        if method != "mean":
            self._probability = np.zeros(shape if keeps_probability else (), np.uint16)

    def region(self, index: tuple[slice, ...]) -> Callable[[Callable[[np.ndarray], np.ndarray], np.ndarray], None]:
        """Return add(view, probability) for a part of the volume.

        `view` maps the part to a view of it that has the probability's shape.
        """

        def add(view: Callable[[np.ndarray], np.ndarray], probability: np.ndarray) -> None:
            target = view(self._sums[index])
            if self._method == "mean":
                target += fixed_point(probability)
                return
            target += probability > THRESHOLD
            if not self._probability.ndim:
                return
            kept = view(self._probability[index])
            if self._method == "union":
                np.maximum(kept, fixed_point(probability), out=kept)
            else:
                kept += fixed_point(probability)

        return add

    def mask(self) -> np.ndarray:
        """Return the fused mask, bool [slices, rows, columns]; nothing can be added afterwards."""
        limit = {"union": 0, "majority": self._planes // 2, "mean": round(THRESHOLD * UNIT * self._planes)}
        if self._method == "mean":
            return self._sums > limit[self._method]
        mask = self._sums.view(bool)  # in the same memory: a long CT has none to spare
        for here, counts in zip(mask, self._sums, strict=True):
            here[...] = counts > limit[self._method]
        return mask

    def probability(self) -> np.ndarray:
        """Return the largest of the planes' probabilities for "union", else their mean: uint16 in 1 / `UNIT`."""
        if self._method != "union":
            for values in self._probability:
                np.rint(values / self._planes, out=values, casting="unsafe")
        return self._probability


def fixed_point(probability: np.ndarray) -> np.ndarray:
    """Return probabilities as uint16 in units of 1 / `UNIT`."""
    return np.rint(probability * UNIT).astype(np.uint16)
