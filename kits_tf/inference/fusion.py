"""Fusion of the planes' kidney probabilities on a common grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kits_tf.arrays import Array, ArrayModule, NumPy
from kits_tf.config import FUSIONS, Config, KidneyConfig

THRESHOLD = 0.5
UNIT = 20_000  # of fixed-point probabilities: the sum of three planes fits 16 bits


class Fusion:
    """Collects the probabilities of a number of planes and fuses them.

    A voxel's probability is the largest of the planes' ("union"), the largest that more than half of them reach
    ("majority"; of three planes it is the median), their mean ("mean") or the smallest ("all").

    Args:
        shape: Of the volume.
        method: "union", "majority", "mean" or "all".
        planes: How many there are.
        dtype: Type of the stored probabilities, see `stored`; uint16 instead of bool for a mean of several planes.
    """

    def __init__(self, shape: tuple[int, ...], method: str, planes: int, dtype: type = np.float32) -> None:
        self._is_mean = method == "mean" and planes > 1
        self._planes = planes
        if self._is_mean and dtype is bool:
            dtype = np.uint16
        self.dtype = np.dtype(dtype)
        self._is_all = method == "all" and planes > 1
        make = np.ones if self._is_all else np.zeros  # zeros need no memory before they are written to
        self._kept = [make(shape, self.dtype) for _ in range(kept_planes(method, planes))]

    def add(self, probability: np.ndarray, *index: tuple[slice, ...]) -> None:
        """Add a part of a plane at an index of the volume; each further index is relative to the one before."""
        values = stored(probability, self.dtype)
        targets = self._kept
        for part in index:
            targets = [target[part] for target in targets]
        if self._is_mean:
            targets[0] += values
        elif self._is_all:
            np.minimum(targets[0], values, out=targets[0])
        else:
            for target in targets:  # the largest of each voxel, the second largest, ...
                smaller = np.minimum(target, values)
                np.maximum(target, values, out=target)
                values = smaller

    def clear_around(self, box: tuple[slice, ...]) -> None:
        """Record that a plane finds nothing outside a box of the volume, so that not all planes agree there."""
        if self._is_all:
            inside = self._kept[0][box].copy()
            self._kept[0][...] = 0
            self._kept[0][box] = inside

    def probability(self) -> np.ndarray:
        """Return the fused probability as it is stored; nothing can be added afterwards."""
        fused = self._kept[-1]
        if self._is_mean:
            for values in fused:  # one slice at a time, to bound memory
                values[...] = mean_of_sum(NumPy, values, self._planes)
        return fused


def mask_of(probability: Array) -> Array:
    """Return where stored probabilities, an array or a tensor, are above 0.5, as bool; of bool, the same array."""
    if probability.dtype == bool:
        return probability
    return probability > (round(THRESHOLD * UNIT) if probability.dtype == "uint16" else THRESHOLD)


def kept_planes(method: str, planes: int) -> int:
    """Return how many of the largest values in each voxel must be kept to fuse the planes."""
    return planes // 2 + 1 if method == "majority" else 1


def mean_of_sum(xp: ArrayModule, total: Array, planes: int) -> Array:
    """Return the mean of the planes, of the type of their sum."""
    mean = xp.cast(total, xp.float32) * (1 / planes)
    return xp.cast(xp.round(mean), xp.uint16) if total.dtype == xp.uint16 else mean


def stored(probability: np.ndarray, dtype: type | np.dtype) -> np.ndarray:
    """Return probabilities as float32, as uint16 in units of 1 / `UNIT`, or as bool: whether they are above 0.5."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        return probability > THRESHOLD
    return fixed_point(NumPy, probability) if kind == "u" else probability


def fixed_point(xp: ArrayModule, probability: Array) -> Array:
    """Return probabilities as uint16 in units of 1 / `UNIT`; what is above 0.5 stays so."""
    least = xp.cast(probability > THRESHOLD, xp.float32) * (THRESHOLD * UNIT + 1)
    return xp.cast(xp.maximum(xp.round(probability * UNIT), least), xp.uint16)


def fusion_of_planes(configs: Mapping[str, Config]) -> str:
    """Return how the planes of a checkpoint are fused: the option `fusion` of its kidney networks."""
    return next((config.fusion for config in configs.values() if isinstance(config, KidneyConfig)), FUSIONS[0])
