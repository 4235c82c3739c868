"""Implicit solids in patient mm: each gives a value that is negative inside and grows about one a mm outward.

Every shape has `bounds`, (low, high) corners in mm (z, y, x) outside of which it is not, and `value(grid)`, float32
[z, y, x] on a grid. Shapes combine: `Offset`, `Rough`, `Intersection`, `Difference`, `Union`.
"""

import numpy as np

EVERYWHERE = (np.full(3, -np.inf), np.full(3, np.inf))


class Ellipsoid:
    """An ellipsoid, optionally bent and squared.

    Args:
        centre: mm (z, y, x).
        radii: mm along its own three axes.
        axes: rotation matrix whose rows are its own axes in (z, y, x); identity by default.
        bend_mm: how far its ends along the first axis are shifted against the second axis.
        exponent: 2 for an ellipsoid, more for a rounded box.
    """

    def __init__(self, centre, radii, axes=None, bend_mm=0.0, exponent=2.0):
        self.centre = np.asarray(centre, np.float32)
        self.radii = np.asarray(radii, np.float32)
        self.axes = np.eye(3, dtype=np.float32) if axes is None else np.asarray(axes, np.float32)
        self.bend_mm = float(bend_mm)
        self.exponent = float(exponent)
        reach = self.radii * (1.0 if self.exponent == 2 else 1.2)
        extent = np.sqrt(((self.axes * reach[:, None]) ** 2).sum(axis=0)) + abs(self.bend_mm)
        if self.exponent > 2:
            extent = (np.abs(self.axes) * self.radii[:, None]).sum(axis=0) + abs(self.bend_mm)
        self.bounds = (self.centre - extent, self.centre + extent)

    def local(self, grid):
        """Coordinates along its own axes in mm, straightened where it is bent.

        Three arrays that broadcast to [z, y, x]: an axis that follows the grid's stays a vector.
        """
        offsets = [c - o for c, o in zip(grid.open(), self.centre, strict=True)]
        u, v, w = (combine(axis, offsets) for axis in self.axes)
        if self.bend_mm:
            v = v + np.float32(self.bend_mm / self.radii[0] ** 2) * (u * u)
        return u, v, w

    def value(self, grid):
        scaled = [c / r for c, r in zip(self.local(grid), self.radii, strict=True)]
        if self.exponent != 2:
            power = self.exponent
            scaled = [np.abs(s) ** np.float32(power) for s in scaled]
            norm = combine((1, 1, 1), scaled) ** np.float32(1 / power)
            norm -= 1
            norm *= self.radii.min()
            return norm
        squares = [s * s for s in scaled]
        norm = np.sqrt(combine((1, 1, 1), squares))
        slope = np.sqrt(combine(1 / self.radii**2, squares))
        # First-order distance: norm * (norm - 1) / slope; at the centre it would be 0 / 0.
        np.maximum(slope, np.float32(1e-4) / self.radii.max(), out=slope)
        result = norm - 1
        np.maximum(norm, np.float32(1e-4), out=norm)
        result *= norm
        result /= slope
        return result


def combine(weights, arrays):
    """Sum of arrays by weights, those of weight 0 left out; what broadcasts small is added first."""
    terms = [a if w == 1 else a * np.float32(w) for w, a in zip(weights, arrays, strict=True) if w]
    terms.sort(key=np.size)
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


class Tube:
    """A ball of varying radius swept along a polyline.

    Args:
        points: mm, [count, 3].
        radii: mm, one number or [count].
        flatten: squeezes the tube along y by this factor (1: round).
        reach_mm: its value is not computed, and this, where it would be more.
    """

    def __init__(self, points, radii, flatten=1.0, reach_mm=8.0):
        self.points = np.asarray(points, np.float32)
        self.radii = np.broadcast_to(np.asarray(radii, np.float32), len(self.points))
        self.squeeze = np.array([1, flatten, 1], np.float32)
        self.reach_mm = reach_mm
        reach = self.radii[:, None] / np.minimum(self.squeeze, 1)
        self.bounds = ((self.points - reach).min(axis=0), (self.points + reach).max(axis=0))

    def value(self, grid):
        result = np.full(grid.shape, self.reach_mm, np.float32)
        for i in range(len(self.points) - 1):
            self.add_segment(result, grid, i)
        return result

    def add_segment(self, result, grid, i):
        """Lowers `result` to the distance from the rounded cone between points i and i + 1, near it."""
        a, b = self.points[i], self.points[i + 1]
        ra, rb = self.radii[i], self.radii[i + 1]
        reach = max(ra, rb) / np.minimum(self.squeeze, 1) + self.reach_mm
        box = grid.box((np.minimum(a, b) - reach, np.maximum(a, b) + reach), margin=2)
        if box is None:
            return
        along = (b - a) * self.squeeze
        offsets = [(c - o) * k for c, o, k in zip(grid.crop(box).open(), a, self.squeeze, strict=True)]
        # Nearest point of the segment: t from 0 to 1; distance^2 = |offset|^2 - 2 t (offset . along) + t^2 |along|^2.
        length = np.float32(max(float(along @ along), 1e-6))
        dot = combine((1, 1, 1), [d * k for d, k in zip(offsets, along, strict=True)])
        t = np.clip(dot / length, 0, 1)
        distance = combine((1, 1, 1), [d * d for d in offsets])
        distance = distance + t * (t * length - 2 * dot)
        np.sqrt(np.maximum(distance, 0, out=distance), out=distance)
        distance -= ra + t * (rb - ra)
        np.minimum(result[box], distance, out=result[box])


class Column:
    """A trunk: superellipses whose half axes and centre change along z.

    Args:
        knots: z in mm, increasing, [count].
        half_width, anterior, posterior: half axes in mm at the knots; `centre` [count, 2] is (y, x) in mm.
        exponent: (front, back), 2 for ellipses, more for flatter sides.
    """

    def __init__(self, knots, half_width, anterior, posterior, centre, exponent=(2.1, 2.6)):
        self.knots = np.asarray(knots, float)
        self.profiles = [np.asarray(p, float) for p in (half_width, anterior, posterior)]
        self.centre = np.asarray(centre, float)
        self.exponent = tuple(exponent)
        self.bounds = EVERYWHERE

    def at(self, z):
        """Half width, anterior and posterior half axis, centre y and x at `z`, smooth in z."""
        profiles = [*self.profiles, self.centre[:, 0], self.centre[:, 1]]
        return [smooth_interpolation(z, self.knots, p).astype(np.float32) for p in profiles]

    def value(self, grid):
        half_width, anterior, posterior, cy, cx = self.at(grid.z)
        dy = (grid.y[None, :] - cy[:, None]).astype(np.float32)
        n = np.where(dy < 0, *np.float32(self.exponent))
        deep = np.where(dy < 0, -dy / anterior[:, None], dy / posterior[:, None]) ** n
        across = np.abs((grid.x[None, :] - cx[:, None]) / half_width[:, None])
        # power(a, n) is exp(n log a): the logarithm is taken once for each column, not for each voxel.
        norm = n[:, :, None] * np.log(np.maximum(across, np.float32(1e-6)))[:, None, :]
        np.exp(norm, out=norm)
        norm += deep[:, :, None]
        np.maximum(norm, np.float32(1e-6), out=norm)
        np.log(norm, out=norm)
        norm /= n[:, :, None]
        np.exp(norm, out=norm)
        norm -= 1
        norm *= np.minimum(half_width, (anterior + posterior) / 2)[:, None, None]
        return norm

    def grown(self, mm):
        """The same column with every half axis longer by `mm` (a number, or one at each knot)."""
        return Column(self.knots, *(p + mm for p in self.profiles), self.centre, self.exponent)


class Offset:
    """A shape grown by `mm` (shrunk where negative)."""

    def __init__(self, shape, mm):
        self.shape, self.mm = shape, np.float32(mm)
        self.bounds = (shape.bounds[0] - mm, shape.bounds[1] + mm)

    def value(self, grid):
        return self.shape.value(grid) - self.mm


class Rough:
    """A shape whose surface is moved by a random field of `amplitude_mm` standard deviation."""

    def __init__(self, shape, field, amplitude_mm):
        self.shape, self.field, self.amplitude_mm = shape, field, np.float32(amplitude_mm)
        self.bounds = (shape.bounds[0] - 2 * amplitude_mm, shape.bounds[1] + 2 * amplitude_mm)

    def value(self, grid):
        return self.shape.value(grid) + self.field.sample(grid) * self.amplitude_mm


class Above:
    """Where a field exceeds a threshold; `scale_mm` turns its values into about mm."""

    def __init__(self, field, threshold, scale_mm=3.0):
        self.field, self.threshold, self.scale_mm = field, np.float32(threshold), np.float32(scale_mm)
        self.bounds = EVERYWHERE

    def value(self, grid):
        return (self.threshold - self.field.sample(grid)) * self.scale_mm


class HalfSpace:
    """Everything on the far side of the plane through `point`, against `normal` (mm; (z, y, x))."""

    def __init__(self, point, normal):
        self.point = np.asarray(point, np.float32)
        self.normal = np.asarray(normal, np.float32) / np.float32(np.linalg.norm(normal))
        self.bounds = EVERYWHERE

    def value(self, grid):
        terms = zip(grid.open(), self.point, self.normal, strict=True)
        return sum((c - p) * n for c, p, n in terms).astype(np.float32)


class Cached:
    """A costly shape that many others refer to: its values on the last whole grid are kept and cut from.

    A grid counts as part of the last one when its coordinates are found there; values never depend on what was asked
    for before.
    """

    def __init__(self, shape):
        self.shape = shape
        self.bounds = shape.bounds
        self.grid = self.values = None

    def value(self, grid):
        if self.grid is not None:
            box = grid.within(self.grid)
            if box is not None:
                return self.values[box]
        self.grid, self.values = grid, self.shape.value(grid)
        self.values.setflags(write=False)
        return self.values


class Bounded:
    """A shape known to lie within `low`, `high` (mm), for shapes whose own bounds are wider."""

    def __init__(self, shape, low, high):
        self.shape = shape
        self.bounds = (np.maximum(shape.bounds[0], low), np.minimum(shape.bounds[1], high))

    def value(self, grid):
        return self.shape.value(grid)


class Intersection:
    """What lies in all of the shapes."""

    def __init__(self, *shapes):
        self.shapes = shapes
        self.bounds = (
            np.max([s.bounds[0] for s in shapes], axis=0),
            np.min([s.bounds[1] for s in shapes], axis=0),
        )

    def value(self, grid):
        result = self.shapes[0].value(grid)
        for shape in self.shapes[1:]:
            result = np.maximum(result, shape.value(grid))
        return result


class Difference:
    """A shape without the others."""

    def __init__(self, shape, *others):
        self.shape, self.others = shape, others
        self.bounds = shape.bounds

    def value(self, grid):
        result = np.array(self.shape.value(grid))
        for other in self.others:
            box = grid.box(other.bounds, margin=3)
            if box is not None:
                result[box] = np.maximum(result[box], -other.value(grid.crop(box)))
        return result


class Union:
    """What lies in any of the shapes; `blend_mm` rounds the creases where they meet."""

    def __init__(self, *shapes, blend_mm=0.0):
        self.shapes, self.blend_mm = shapes, np.float32(blend_mm)
        self.bounds = (
            np.min([s.bounds[0] for s in shapes], axis=0) - blend_mm,
            np.max([s.bounds[1] for s in shapes], axis=0) + blend_mm,
        )

    def value(self, grid):
        result = self.shapes[0].value(grid)
        for shape in self.shapes[1:]:
            other = shape.value(grid)
            if self.blend_mm:
                # Polynomial smooth minimum: at most blend / 4 below the lower of the two.
                h = np.maximum(self.blend_mm - np.abs(result - other), 0) / self.blend_mm
                result = np.minimum(result, other) - h * h * (self.blend_mm / 4)
            else:
                result = np.minimum(result, other)
        return result


def smooth_interpolation(at, knots, values):
    """Cosine interpolation of `values` [count] at `knots`, constant beyond them."""
    at = np.clip(at, knots[0], knots[-1])
    right = np.clip(np.searchsorted(knots, at), 1, len(knots) - 1)
    t = (at - knots[right - 1]) / (knots[right] - knots[right - 1])
    t = (1 - np.cos(np.pi * t)) / 2
    return values[right - 1] * (1 - t) + values[right] * t


def volume_ml(shape, step_mm=2.0):
    """Volume of a bounded shape by counting points of a regular grid."""
    from kits_tf.simulation.phantom.grid import Grid

    low, high = shape.bounds
    count = np.ceil((high - low) / step_mm).astype(int) + 1
    inside = shape.value(Grid.regular(count, (step_mm,) * 3, low)) < 0
    return float(inside.sum()) * step_mm**3 / 1000


def rotation(*axis_angles):
    """Rotation matrix from (axis, radians) pairs applied in turn; axes 0 z, 1 y, 2 x."""
    matrix = np.eye(3)
    for axis, angle in axis_angles:
        i, j = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix.astype(np.float32)
