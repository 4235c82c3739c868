"""Implicit solids in patient mm: values are negative inside and grow by about one per mm outwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from kits_tf.simulation.fields import Bounds, Field, Grid, Spacing


class Shape(Protocol):
    """A solid: a box in mm (z, y, x) that contains it, and its values on a grid, float32 [z, y, x]."""

    bounds: Bounds

    def value(self, grid: Grid) -> np.ndarray:
        """Return the implicit values at a grid's voxel centres."""


class Ellipsoid:
    """An ellipsoid.

    Args:
        centre: mm (z, y, x).
        radii: mm along its three axes, or one number.
        axes: Rotation matrix whose rows are its axes in (z, y, x); the identity by default.
    """

    def __init__(self, centre: Spacing, radii: Spacing | float, axes: np.ndarray | None = None) -> None:
        self.centre = np.asarray(centre, np.float32)
        self.radii = np.asarray(np.broadcast_to(radii, 3), np.float32)
        self.axes = np.eye(3, dtype=np.float32) if axes is None else np.asarray(axes, np.float32)
        extent = np.sqrt(((self.axes * self.radii[:, None]) ** 2).sum(axis=0))
        self.bounds: Bounds = (self.centre - extent, self.centre + extent)

    def value(self, grid: Grid) -> np.ndarray:
        """Return the first-order distance to the surface."""
        offsets = [c - o for c, o in zip(grid.open(), self.centre, strict=True)]
        squares = []
        for axis, radius in zip(self.axes, self.radii, strict=True):
            scaled = _combine(axis, offsets) / radius
            squares.append(scaled * scaled)
        norm = np.sqrt(_combine((1, 1, 1), squares))
        slope = np.sqrt(_combine(1 / self.radii**2, squares))
        # norm * (norm - 1) / slope; at the centre it would be 0 / 0.
        np.maximum(slope, np.float32(1e-4) / self.radii.max(), out=slope)
        result = norm - 1
        np.maximum(norm, np.float32(1e-4), out=norm)
        result *= norm
        result /= slope
        return result


class Tube:
    """A ball of varying radius swept along a polyline.

    Args:
        points: mm (z, y, x), [count, 3].
        radii: mm, one number or one per point.
        reach_mm: Distances from the surface are computed up to this value only.
    """

    def __init__(self, points: np.ndarray, radii: float | Sequence[float], reach_mm: float = 8.0) -> None:
        self.points = np.asarray(points, np.float32)
        self.radii = np.broadcast_to(np.asarray(radii, np.float32), len(self.points))
        self.reach_mm = reach_mm
        reach = self.radii[:, None]
        self.bounds: Bounds = ((self.points - reach).min(axis=0), (self.points + reach).max(axis=0))

    def value(self, grid: Grid) -> np.ndarray:
        """Return the distance to the surface, at most `reach_mm`."""
        result = np.full(grid.shape, self.reach_mm, np.float32)
        for first in range(len(self.points) - 1):
            self._add_segment(result, grid, first)
        return result

    def _add_segment(self, result: np.ndarray, grid: Grid, first: int) -> None:
        """Lower `result` to the distance from the rounded cone between a point and the next one, in place."""
        (a, b), (radius_a, radius_b) = self.points[first : first + 2], self.radii[first : first + 2]
        reach = max(radius_a, radius_b) + self.reach_mm
        box = grid.box((np.minimum(a, b) - reach, np.maximum(a, b) + reach), margin=2)
        if box is None:
            return
        along = b - a
        offsets = [c - o for c, o in zip(grid.crop(box).open(), a, strict=True)]
        # Nearest point of the segment: t from 0 to 1; distance^2 = |offset|^2 - 2 t (offset . along) + t^2 |along|^2.
        length = np.float32(max(float(along @ along), 1e-6))
        dot = _combine((1, 1, 1), [d * k for d, k in zip(offsets, along, strict=True)])
        t = np.clip(dot / length, 0, 1)
        distance = _combine((1, 1, 1), [d * d for d in offsets])
        distance = distance + t * (t * length - 2 * dot)
        np.sqrt(np.maximum(distance, 0, out=distance), out=distance)
        distance -= radius_a + t * (radius_b - radius_a)
        np.minimum(result[box], distance, out=result[box])


class Sheet:
    """A tube's cross-section at z = 0 that runs along z without end: the table top."""

    def __init__(self, points: np.ndarray, radius: float) -> None:
        self.tube = Tube(points, radius)
        low, high = self.tube.bounds
        self.bounds: Bounds = (np.array([-np.inf, *low[1:]]), np.array([np.inf, *high[1:]]))

    def value(self, grid: Grid) -> np.ndarray:
        """Return the distance to the surface."""
        flat = self.tube.value(Grid(np.zeros(1, np.float32), grid.y, grid.x, grid.spacing_mm))
        return np.broadcast_to(flat, grid.shape).copy()


class Offset:
    """A shape grown by `mm`, or shrunk if negative."""

    def __init__(self, shape: Shape, mm: float) -> None:
        self.shape, self.mm = shape, np.float32(mm)
        self.bounds: Bounds = (shape.bounds[0] - mm, shape.bounds[1] + mm)

    def value(self, grid: Grid) -> np.ndarray:
        """Return the shape's values, shifted."""
        return self.shape.value(grid) - self.mm


class Rough:
    """A shape whose surface is displaced by a random field of standard deviation `amplitude_mm`."""

    def __init__(self, shape: Shape, field: Field, amplitude_mm: float) -> None:
        self.shape, self.field, self.amplitude_mm = shape, field, np.float32(amplitude_mm)
        self.bounds: Bounds = (shape.bounds[0] - 2 * amplitude_mm, shape.bounds[1] + 2 * amplitude_mm)

    def value(self, grid: Grid) -> np.ndarray:
        """Return the shape's values plus the field's."""
        return self.shape.value(grid) + self.field.sample(grid) * self.amplitude_mm


class Above:
    """The part of `shape` in which a field exceeds a threshold; `scale_mm` turns the field's values into mm."""

    def __init__(self, shape: Shape, field: Field, threshold: float, scale_mm: float) -> None:
        self.shape, self.field = shape, field
        self.threshold, self.scale_mm = np.float32(threshold), np.float32(scale_mm)
        self.bounds: Bounds = shape.bounds

    def value(self, grid: Grid) -> np.ndarray:
        """Return the larger of the shape's and the field's values."""
        return np.maximum(self.shape.value(grid), (self.threshold - self.field.sample(grid)) * self.scale_mm)


class Intersection:
    """The part that two shapes share."""

    def __init__(self, first: Shape, second: Shape) -> None:
        self.shapes = first, second
        self.bounds: Bounds = (
            np.maximum(first.bounds[0], second.bounds[0]),
            np.minimum(first.bounds[1], second.bounds[1]),
        )

    def value(self, grid: Grid) -> np.ndarray:
        """Return the larger of the two values."""
        first, second = self.shapes
        return np.maximum(first.value(grid), second.value(grid))


class Union:
    """What lies in any of the shapes; `blend_mm` rounds the creases where they meet."""

    def __init__(self, *shapes: Shape, blend_mm: float) -> None:
        self.shapes, self.blend_mm = shapes, np.float32(blend_mm)
        self.bounds: Bounds = (
            np.min([shape.bounds[0] for shape in shapes], axis=0) - blend_mm,
            np.max([shape.bounds[1] for shape in shapes], axis=0) + blend_mm,
        )

    def value(self, grid: Grid) -> np.ndarray:
        """Return the polynomial smooth minimum of the values, at most blend / 4 below the lowest."""
        result = self.shapes[0].value(grid)
        for shape in self.shapes[1:]:
            other = shape.value(grid)
            near = np.maximum(self.blend_mm - np.abs(result - other), 0) / self.blend_mm
            result = np.minimum(result, other) - near * near * (self.blend_mm / 4)
        return result


def rotation(angles: Sequence[float]) -> np.ndarray:
    """Return the matrix, float32 [3, 3], of rotations about z, y and x in turn, in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (other for other in range(3) if other != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix.astype(np.float32)


def _combine(weights: Sequence[float] | np.ndarray, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the weighted sum of arrays; terms that broadcast small are added first."""
    terms = [a if w == 1 else a * np.float32(w) for w, a in zip(weights, arrays, strict=True) if w]
    terms.sort(key=np.size)
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result
