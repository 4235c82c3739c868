"""Fusion of the three planes' kidney probabilities on the original grid, one byte or two a voxel."""

import numpy as np

THRESHOLD = 0.5
UNIT = 20_000  # fixed point of probabilities: three planes fit 16 bits


class Fusion:
    """Collects each plane's probabilities as they come and gives the kidney mask.

    Args:
        shape: [slices, rows, columns] of the volume.
        method: "union" (a voxel is kidney if any plane says so), "majority" (more than half of the planes) or "mean"
            (mean probability above 0.5).
        planes: how many planes will be added.
        keep_probability: whether `probability` will be asked for; takes two more bytes a voxel unless the method is
            "mean".
    """

    def __init__(self, shape, method, planes, keep_probability=False):
        self._method = method
        self._planes = planes
        self._sums = np.zeros(shape, np.uint16 if method == "mean" else np.uint8)
        self._probability = None
        if keep_probability:
            self._probability = self._sums if method == "mean" else np.zeros(shape, np.uint16)

    def region(self, index):
        """A function that adds probabilities to the part `index` (a tuple of slices) of the volume.

        Returns:
            add(view, probability), where view maps the part to a view of it of the probability's shape.
        """

        def add(view, probability):
            target = view(self._sums[index])
            if self._method == "mean":
                target += fixed_point(probability)
                return
            target += probability > THRESHOLD
            if self._probability is None:
                return
            kept = view(self._probability[index])
            if self._method == "union":
                np.maximum(kept, fixed_point(probability), out=kept)
            else:
                kept += fixed_point(probability)

        return add

    def mask(self):
        """The fused mask, bool [slices, rows, columns]; once it is taken, no plane can be added."""
        limit = {
            "union": 0,
            "majority": self._planes // 2,
            "mean": round(THRESHOLD * UNIT * self._planes),
        }[self._method]
        if self._sums.dtype == np.uint16:
            return self._sums > limit
        mask = self._sums.view(bool)  # in the same memory: a long CT has no room to spare
        for here, counts in zip(mask, self._sums, strict=True):
            here[...] = counts > limit
        return mask

    def probability(self):
        """What was fused: for "union" the largest of the planes' probabilities, else their mean.

        Returns:
            uint16 [slices, rows, columns], in units of 1 / UNIT.
        """
        if self._method == "union":
            return self._probability
        for values in self._probability:
            np.rint(values / self._planes, out=values, casting="unsafe")
        return self._probability


def fixed_point(probability):
    """Probabilities in units of 1 / UNIT, uint16."""
    return np.rint(probability * UNIT).astype(np.uint16)
