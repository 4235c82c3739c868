"""Implicit solids in patient mm: values are negative inside and grow by about one per mm outwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from kits_tf.simulation.fields import Bounds, Field, Grid, Vector


@dataclasses.dataclass(frozen=True)
class Shape:
    """A solid: a box in mm (z, y, x) that contains it, and its values on a grid, float32 [z, y, x]."""

    bounds: Bounds
    value: Callable[[Grid], np.ndarray]

    def offset(self, mm: float) -> Shape:
        """Return the shape grown by `mm`, or shrunk if negative."""
        low, high = self.bounds
        return Shape((low - mm, high + mm), lambda grid: self.value(grid) - np.float32(mm))

    def roughened(self, field: Field, amplitude_mm: float) -> Shape:
        """Return the shape with its surface displaced by a random field of standard deviation `amplitude_mm`."""
        low, high = self.bounds
        bounds = (low - 2 * amplitude_mm, high + 2 * amplitude_mm)
        return Shape(bounds, lambda grid: self.value(grid) + field.sample(grid) * np.float32(amplitude_mm))

    def above(self, field: Field, threshold: float, scale_mm: float) -> Shape:
        """Return the part in which a field exceeds a threshold; `scale_mm` turns the field's values into mm."""

        def value(grid: Grid) -> np.ndarray:
            return np.maximum(self.value(grid), (np.float32(threshold) - field.sample(grid)) * np.float32(scale_mm))

        return Shape(self.bounds, value)

    def __and__(self, other: Shape) -> Shape:
        """Return the part that two shapes share."""
        (low, high), (other_low, other_high) = self.bounds, other.bounds
        bounds = np.maximum(low, other_low), np.minimum(high, other_high)
        return Shape(bounds, lambda grid: np.maximum(self.value(grid), other.value(grid)))


def ellipsoid(centre: Vector, radii: Vector | float, axes: np.ndarray | None = None) -> Shape:
    """Return an ellipsoid, with the first-order distance to its surface as value; the rows of `axes` are its axes."""
    centre = np.asarray(centre, np.float32)
    radii = np.asarray(np.broadcast_to(radii, 3), np.float32)
    axes = np.eye(3, dtype=np.float32) if axes is None else axes
    extent = np.sqrt(((axes * radii[:, None]) ** 2).sum(axis=0))

    def value(grid: Grid) -> np.ndarray:
        offsets = [c - o for c, o in zip(grid.open(), centre, strict=True)]
        scaled = [_combine(axis, offsets) / radius for axis, radius in zip(axes, radii, strict=True)]
        squares = [part * part for part in scaled]
        norm = np.sqrt(_combine((1, 1, 1), squares))
        slope = np.sqrt(_combine(1 / radii**2, squares))
        # norm * (norm - 1) / slope; at the centre it would be 0 / 0.
        np.maximum(slope, np.float32(1e-4) / radii.max(), out=slope)
        result = norm - 1
        result *= np.maximum(norm, np.float32(1e-4), out=norm)
        result /= slope
        return result

    return Shape((centre - extent, centre + extent), value)


def capsule(ends: np.ndarray, radii: Sequence[float]) -> Shape:
    """Return a ball swept along the line between two ends [2, 3], with a radius at each."""
    (start, end), (radius, end_radius) = np.asarray(ends, np.float32), np.asarray(radii, np.float32)
    along = end - start
    reach = max(radius, end_radius)

    def value(grid: Grid) -> np.ndarray:
        offsets = [c - o for c, o in zip(grid.open(), start, strict=True)]
        t = np.clip(_combine(along / (along @ along), offsets), 0, 1)  # of the nearest point of the line
        squares = [(offset - t * step) ** 2 for offset, step in zip(offsets, along, strict=True)]
        return np.sqrt(_combine((1, 1, 1), squares)) - (radius + t * (end_radius - radius))

    return Shape((np.minimum(start, end) - reach, np.maximum(start, end) + reach), value)


def arch(bottom_mm: float, radius: float, half_width: float, half_thickness: float) -> Shape:
    """Return a sheet that is an arc of a circle in every slice, the table top; mm, lowest at y = `bottom_mm`."""
    centre = bottom_mm - half_thickness - radius
    top = centre + np.sqrt(radius**2 - half_width**2) - half_thickness

    def value(grid: Grid) -> np.ndarray:
        _, y, x = grid.open()
        ring = np.abs(np.hypot(y - centre, x) - radius) - half_thickness
        return np.broadcast_to(np.maximum(ring, np.abs(x) - half_width), grid.shape).astype(np.float32)

    return Shape((np.array([-np.inf, top, -half_width]), np.array([np.inf, bottom_mm, half_width])), value)


def union(shapes: Sequence[Shape], blend_mm: float) -> Shape:
    """Return the union of shapes; `blend_mm` rounds the creases where they meet."""
    low = np.min([shape.bounds[0] for shape in shapes], axis=0) - blend_mm
    high = np.max([shape.bounds[1] for shape in shapes], axis=0) + blend_mm
    blend = np.float32(blend_mm)

    def value(grid: Grid) -> np.ndarray:
        result = shapes[0].value(grid)
        for shape in shapes[1:]:
            other = shape.value(grid)
            near = np.maximum(blend - np.abs(result - other), 0) / blend
            # Polynomial smooth minimum: at most blend / 4 below the lower of the two.
            result = np.minimum(result, other) - near * near * (blend / 4)
        return result

    return Shape((low, high), value)


def rotation(angles: Vector) -> np.ndarray:
    """Return the matrix, float32 [3, 3], of rotations about the three axes in turn, in radians."""
    return Rotation.from_euler("xyz", angles).as_matrix().astype(np.float32)


def _combine(weights: Sequence[float] | np.ndarray, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the weighted sum of arrays; the smallest ones, which broadcast, are added first."""
    terms = [a if w == 1 else a * np.float32(w) for w, a in zip(weights, arrays, strict=True) if w]
    terms.sort(key=np.size)
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result
