"""Fusion of the three planes' kidney probabilities on the original grid, one byte or two a voxel."""

import numpy as np

METHODS = ("union", "majority", "mean")
THRESHOLD = 0.5
MEAN_UNIT = 20_000  # fixed point of the mean: three planes fit 16 bits


class Fusion:
    """Collects each plane's probabilities as they come and gives the kidney mask.

    Args:
        shape: [slices, rows, columns] of the volume.
        method: "union" (a voxel is kidney if any plane says so), "majority" (more than half of the planes) or "mean"
            (mean probability above 0.5).
        planes: how many planes will be added.
    """

    def __init__(self, shape, method, planes):
        self._method = method
        self._planes = planes
        self._sums = np.zeros(shape, np.uint16 if method == "mean" else np.uint8)

    def region(self, index):
        """A function that adds probabilities to the part `index` (a tuple of slices) of the volume.

        Returns:
            add(view, probability), where view maps the part to a view of it of the probability's shape.
        """
        part = self._sums[index]

        def add(view, probability):
            target = view(part)
            if self._method == "mean":
                target += np.rint(probability * MEAN_UNIT).astype(np.uint16)
            else:
                target += probability > THRESHOLD

        return add

    def mask(self):
        """The fused mask, bool [slices, rows, columns]."""
        if self._method == "union":
            return self._sums > 0
        if self._method == "majority":
            return self._sums > self._planes // 2
        return self._sums > round(THRESHOLD * MEAN_UNIT * self._planes)
