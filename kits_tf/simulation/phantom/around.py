"""Imaging simulated around real kidneys and tumors: a trunk is fitted to a label volume and scanned on its grid."""

import dataclasses

import numpy as np
import scipy.ndimage

from kits_tf.laterality import box_within
from kits_tf.simulation.phantom import tumors
from kits_tf.simulation.phantom.anatomy import surroundings
from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.frame import Frame
from kits_tf.simulation.phantom.imaging import Scanner
from kits_tf.simulation.phantom.kidneys import Kidney, fat_around
from kits_tf.simulation.phantom.layers import Layer
from kits_tf.simulation.phantom.materials import PHASES, Materials, mixed_rng
from kits_tf.simulation.phantom.shapes import Above, Intersection, Offset, Rough
from kits_tf.simulation.phantom.simulation import ANATOMY, MATERIALS, NOISE, SCANNER, choose_phase, render
from kits_tf.simulation.phantom.vessels import Trunks

COARSE_MM = 3.0  # points at which the labels are looked at to fit the trunk
SMALLEST_ML = 2.0  # components below this are specks, not kidneys


@dataclasses.dataclass
class LabelShape:
    """The voxels of a label volume that hold one of `values`, as a solid whose surface the voxel grid's steps blur.

    Attributes:
        labels: uint8 [slices, rows, columns].
        origin_mm: patient mm of voxel (0, 0, 0).
        spacing_mm: (slice, row, column).
        values: the labels that count.
        bounds: (low, high) in mm.
    """

    labels: np.ndarray
    origin_mm: tuple
    spacing_mm: tuple
    values: tuple
    bounds: tuple

    def value(self, grid):
        index = [
            np.clip(np.rint((axis - o) / s).astype(int), 0, n - 1)
            for axis, o, s, n in zip(
                (grid.z, grid.y, grid.x), self.origin_mm, self.spacing_mm, self.labels.shape, strict=True
            )
        ]
        mask = np.isin(self.labels[np.ix_(*index)], self.values).astype(np.float32)
        smooth = scipy.ndimage.gaussian_filter(mask, 0.6, truncate=2)
        return (0.5 - smooth) * np.float32(2 * min(self.spacing_mm))


@dataclasses.dataclass
class DistanceShape:
    """A solid given by a smooth field of signed distances in mm."""

    field: Field
    bounds: tuple

    def value(self, grid):
        return self.field.sample(grid)


def simulate_around(labels, spacing_mm, seed, case_index, phases=None):
    """Imaging for a label volume.

    Args:
        labels: uint8 [slices, rows, columns], axes (I, P, L); 1 kidney, 2 tumor.
        spacing_mm: (slice, row, column).
        seed, case_index: the same two give the same imaging.
        phases: contrast phases to draw from; all by default.

    Returns:
        int16 HU of the labels' shape.
    """
    key = (seed, case_index)
    phases = tuple(phases or PHASES)
    materials = Materials(mixed_rng(*key, MATERIALS), phases[choose_phase(key, len(phases))])
    rng = mixed_rng(*key, ANATOMY)
    scanner = Scanner.draw(mixed_rng(*key, SCANNER), tuple(spacing_mm), (*key, NOISE))
    points = coarse_points(labels, spacing_mm)
    middle = spine_position(points, labels.shape, spacing_mm)
    frame = fit_frame(points - middle, labels.shape, spacing_mm, rng)
    origin = tuple(-middle)
    trunks = Trunks(frame, rng)
    layers = kidney_layers(labels, spacing_mm, origin, frame, trunks, materials, rng)
    hu, _, _ = render(layers, materials, scanner, labels.shape, origin, key, labels)
    return hu


def coarse_points(labels, spacing_mm):
    """Foreground voxels about COARSE_MM apart: float [count, 3], mm from voxel (0, 0, 0)."""
    steps = [max(1, int(round(COARSE_MM / s))) for s in spacing_mm]
    coarse = labels[:: steps[0], :: steps[1], :: steps[2]]
    return np.argwhere(coarse) * (np.asarray(spacing_mm) * steps)


def spine_position(points, shape, spacing_mm):
    """Where the vertebra between the kidneys lies, mm (z, y, x) from voxel (0, 0, 0).

    In KiTS19 the middle between the kidneys is within 15 mm of the image's middle column in nine of ten cases, and a
    kidney's middle lies some 12 mm behind that of the vertebral bodies.
    """
    centre_x = (shape[2] - 1) / 2 * spacing_mm[2]
    if not len(points):
        return np.array([shape[0] / 2 * spacing_mm[0], (shape[1] / 2 + 30) * spacing_mm[1], centre_x])
    right, left = points[points[:, 2] < centre_x], points[points[:, 2] >= centre_x]
    x = centre_x
    if min(len(right), len(left)) > 0.05 * len(points):
        gap = (right[:, 2].max() + left[:, 2].min()) / 2
        x += 0.7 * np.clip(gap - centre_x, -25, 25)
    else:
        # A lone kidney: keep the spine off it.
        only = points[:, 2]
        x = min(x, only.min() - 38) if only.mean() > centre_x else max(x, only.max() + 38)
        x = np.clip(x, centre_x - 25, centre_x + 25)
    y = np.median(points[:, 1]) - 10
    # A vertebra may not lie in a kidney: move it forward or back to the freer side of what is in its way.
    near = points[np.abs(points[:, 2] - x) < 22]
    if len(near) and near[:, 1].max() > y - 20:
        y = max(y, near[:, 1].max() + 22) if np.median(near[:, 1]) < y + 10 else y
    return np.array([(points[:, 0].min() + points[:, 0].max()) / 2, y, x])


def fit_frame(points, shape, spacing_mm, rng):
    """A trunk that fits the field of view and holds the foreground `points` (patient mm) within its cavity."""
    field_of_view = min(shape[2] * spacing_mm[2], shape[1] * spacing_mm[1] * 1.35)
    half_width = float(np.clip(field_of_view / 2 / rng.uniform(1.04, 1.25), 138, 232))
    frame = Frame.draw(rng, half_width)
    for _ in range(80):
        frame.surfaces(np.random.default_rng(0))
        side, front, back = excess(frame, points)
        if max(side, front, back) <= 0:
            break
        frame.half_width *= 1 + 0.02 * (side > 0)
        frame.anterior *= 1 + 0.02 * (front > 0)
        frame.posterior *= 1 + 0.02 * (back > 0)
    return frame.surfaces(rng)


def excess(frame, points, margin_mm=7.0):
    """How far points stand out of the cavity less `margin_mm`: at its sides, front and back; none where <= 0.

    A point counts against the half axis that has the larger part in its level of the superellipse.
    """
    half_width, anterior, posterior, cy, cx = frame.cavity_column.at(points[:, 0])
    dy = points[:, 1] - cy
    n = np.where(dy < 0, *frame.cavity_column.exponent)
    deep = np.abs(dy) / (np.where(dy < 0, anterior, posterior) - margin_mm)
    across = np.abs(points[:, 2] - cx) / (half_width - margin_mm)
    level = deep**n + across**n - 1
    groups = (across >= deep, (across < deep) & (dy < 0), (across < deep) & (dy >= 0))
    return [float(level[group].max(initial=0.0)) for group in groups]


def kidney_layers(labels, spacing_mm, origin, frame, trunks, materials, rng):
    """Everything in painting order; the labels themselves are never painted."""
    boxes = components(labels, (1, 2), spacing_mm)
    kidneys_fat, inner = [], []
    for box in boxes:
        solid = distance_shape(labels, (1, 2), box, spacing_mm, origin)
        kidneys_fat += fat_around(Rough(solid, Field.noise(rng, solid.bounds, 30), 2.5), frame, rng)
        inner += one_kidney(labels, box, solid, spacing_mm, origin, frame, trunks, materials, rng)
    layers = surroundings(frame, trunks, rng, kidneys_fat)
    everything = (np.array(origin), np.array(origin) + np.array(labels.shape) * spacing_mm)
    foreground = bounds_of(boxes, spacing_mm, origin) if boxes else everything
    layers.append(Layer(LabelShape(labels, origin, spacing_mm, (1, 2), foreground), "cortex"))
    return layers + inner


def one_kidney(labels, box, solid, spacing_mm, origin, frame, trunks, materials, rng):
    """Pyramids, collecting system, vessels, cysts and tumors of one component."""
    kidney = measured_kidney(labels, box, spacing_mm, origin)
    lobes = Field.noise(rng, solid.bounds, rng.uniform(9, 13))
    pyramids = Intersection(Offset(solid, -rng.uniform(5.5, 9.0)), Above(lobes, rng.uniform(-0.5, 0.1), 6.0))
    layers = [Layer(pyramids, "medulla", within=(1,))]
    if kidney is not None:
        layers += limited(kidney.collecting_system(frame, materials, rng), (0, 1))
        layers += limited(kidney.pedicle(frame, rng, trunks), (0,))
        layers += limited(kidney.cysts(rng), (1,))
    for part in components(labels[box], (2,), spacing_mm, smallest_ml=0.05):
        layers += one_tumor(labels, box_within(box, part), spacing_mm, origin, materials, rng)
    return layers


def one_tumor(labels, box, spacing_mm, origin, materials, rng):
    """The layers of one component of label 2."""
    sharp = LabelShape(labels, origin, spacing_mm, (2,), bounds_of([box], spacing_mm, origin))
    smooth = distance_shape(labels, (2,), box, spacing_mm, origin, margin_mm=6.0)
    volume = float((labels[box] == 2).sum()) * float(np.prod(spacing_mm))
    radius = (volume * 3 / (4 * np.pi)) ** (1 / 3)
    centre = np.mean(sharp.bounds, axis=0)
    kind = str(rng.choice(list(tumors.KINDS), p=list(tumors.KINDS.values())))
    first, *rest = tumors.layers(tumors.Tumor(smooth, kind, radius, centre), materials, rng)
    return limited([dataclasses.replace(first, shape=sharp), *rest], (2,))


def limited(layers, within):
    """The layers, painted only where the label is one of `within`, and setting none."""
    return [dataclasses.replace(layer, label=None, within=within) for layer in layers]


def measured_kidney(labels, box, spacing_mm, origin):
    """A `Kidney` with the position and principal axes of the label-1 voxels in a box; None where there are few."""
    steps = [max(1, int(round(2.0 / s))) for s in spacing_mm]
    index = np.argwhere(labels[box][:: steps[0], :: steps[1], :: steps[2]] == 1) * steps
    if len(index) < 100:
        return None
    points = (index + [s.start for s in box]) * np.asarray(spacing_mm) + origin
    centre = points.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov(points.T))
    long_axis = vectors[:, 2] * np.sign(vectors[0, 2] or 1)
    side = -1 if centre[2] < 0 else 1
    outward = np.array([0.0, 0.6, 0.8 * side])
    outward -= (outward @ long_axis) * long_axis
    outward /= max(np.linalg.norm(outward), 1e-6)
    axes = np.stack([long_axis, outward, np.cross(long_axis, outward)])
    # A solid ellipsoid's half axes are sqrt(5) times the standard deviations of its points.
    radii = np.sqrt(5 * np.array([axis @ np.cov(points.T) @ axis for axis in axes]))
    return Kidney(side, centre, axes.astype(np.float32), radii, bend_mm=6.0)


def components(labels, values, spacing_mm, smallest_ml=SMALLEST_ML):
    """Boxes (three slices each) of the connected parts of some labels that are not specks."""
    steps = [max(1, int(round(min(COARSE_MM, 1.5) / s))) for s in spacing_mm]
    coarse = np.isin(labels[:: steps[0], :: steps[1], :: steps[2]], values)
    numbered, count = scipy.ndimage.label(coarse)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1) * float(np.prod(spacing_mm)) * np.prod(steps) / 1000
    boxes = []
    for number, box in enumerate(scipy.ndimage.find_objects(numbered), 1):
        if sizes[number] >= smallest_ml:
            boxes.append(
                tuple(
                    slice(max((s.start - 1) * k, 0), min((s.stop + 1) * k, n))
                    for s, k, n in zip(box, steps, labels.shape, strict=True)
                )
            )
    return boxes


def bounds_of(boxes, spacing_mm, origin):
    """(low, high) in patient mm of all boxes of voxels together."""
    low = np.min([[s.start for s in box] for box in boxes], axis=0) * np.asarray(spacing_mm) + origin
    high = np.max([[s.stop for s in box] for box in boxes], axis=0) * np.asarray(spacing_mm) + origin
    return low, high


def distance_shape(labels, values, box, spacing_mm, origin, margin_mm=30.0):
    """A smooth solid of the labels in a box, with distances good to `margin_mm` outside of it."""
    extent = max((s.stop - s.start) * mm for s, mm in zip(box, spacing_mm, strict=True))
    step = float(np.clip(extent / 70, 1.2, 3.0))
    low, high = bounds_of([box], spacing_mm, origin)
    low, high = low - margin_mm, high + margin_mm
    axes = [np.arange(a, b + step, step) for a, b in zip(low, high, strict=True)]
    index = [np.rint((axis - o) / s).astype(int) for axis, o, s in zip(axes, origin, spacing_mm, strict=True)]
    outside = [(i < s.start) | (i >= s.stop) for i, s in zip(index, box, strict=True)]
    index = [np.clip(i, 0, n - 1) for i, n in zip(index, labels.shape, strict=True)]
    mask = np.isin(labels[np.ix_(*index)], values)
    for axis, beyond in enumerate(outside):
        mask[(slice(None),) * axis + (beyond,)] = False
    if not mask.any():
        mask[tuple(n // 2 for n in mask.shape)] = True
    away = scipy.ndimage.distance_transform_edt(~mask, sampling=step)
    inside = scipy.ndimage.distance_transform_edt(mask, sampling=step)
    # Voxel centres on either side of the surface are half a step from it.
    signed = np.where(mask, step / 2 - inside, away - step / 2)
    return DistanceShape(Field(signed, low, step), (low, high))
