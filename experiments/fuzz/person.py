"""A person with lungs, a spine and two kidneys, and training cases whose labels do not match it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SHAPE = (48, 80, 100)
SPACING_MM = (4.0, 3.0, 3.0)


def ct() -> tuple[np.ndarray, np.ndarray]:
    """Return HU int16 and labels uint8, [slices, rows, columns], axes I, P, L; the left kidney has a tumor."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in SHAPE), indexing="ij")
    hu, labels = np.full(SHAPE, -1000, np.int16), np.zeros(SHAPE, np.uint8)
    body = y**2 + x**2 < 0.85
    hu[body] = np.where(y[body] < 0, 50, -100)
    hu[(y - 0.6) ** 2 + (1.2 * x) ** 2 < 0.03] = 400
    hu[(z < -0.4) & (y**2 + (np.abs(x) - 0.45) ** 2 < 0.1)] = -850
    for middle in ((0.2, 0.15, -0.4), (0.35, 0.3, 0.5)):
        distance = sum(((at - to) / r) ** 2 for at, to, r in zip((z, y, x), middle, (0.45, 0.18, 0.15), strict=True))
        labels[distance < 1] = 1
    labels[(labels == 1) & (x > 0) & (z > 0.5)] = 2
    hu[labels > 0] = np.where(labels[labels > 0] == 2, 90, 180)
    return hu, labels


class Case(NamedTuple):
    """A training case: how its labels and spacing differ from the truth, and part of the required finding, if any."""

    change: Callable[[np.ndarray], np.ndarray] = np.copy
    message: str = ""
    spacing_mm: tuple[float, float, float] = SPACING_MM


def without_the_left_kidney(labels: np.ndarray) -> np.ndarray:
    """Return labels without the kidney that has the tumor."""
    left = np.arange(SHAPE[2]) > SHAPE[2] // 2
    return np.where((labels == 1) & left, 0, labels).astype(np.uint8)


CASES = {
    "good": Case(),
    "float_labels": Case(lambda labels: labels * np.float32(1.00001526)),
    "label_upside_down": Case(lambda labels: labels[::-1], "fat or air"),
    "label_mirrored": Case(lambda labels: labels[:, :, ::-1], "fat or air"),
    "label_20_mm_low": Case(lambda labels: np.roll(labels, 5, axis=0), "fat or air"),
    "spacing_lost": Case(message="spacing", spacing_mm=(1.0, 1.0, 1.0)),
    "tumor_without_kidney": Case(without_the_left_kidney, "touches no kidney"),
}
