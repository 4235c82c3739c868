"""Stomach, duodenum, small bowel and colon: walls around gas, fluid, stool or swallowed contrast."""

import numpy as np

from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.layers import Layer
from kits_tf.simulation.phantom.shapes import HalfSpace, Intersection, Offset, Rough, Tube


def bowel(frame, rng):
    """All of it, in painting order: what lies deeper first."""
    contrast = rng.uniform() < 0.6  # was contrast swallowed?
    layers = small_bowel(frame, rng, contrast) + colon(frame, rng, contrast)
    return layers + stomach(frame, rng, contrast)


def hollow(shape, frame, rng, wall_mm, content, gas_share):
    """A wall, its content, and gas that has risen to the front of it.

    Args:
        shape: the outer surface.
        wall_mm: thickness of the wall.
        content: (tissue, hu) of what fills it.
        gas_share: share of its depth, from the front, that is gas.
    """
    outer = Intersection(shape, Offset(frame.cavity, -1.5))
    inner = Offset(outer, -wall_mm)
    layers = [Layer(outer, "bowel_wall"), Layer(inner, content[0], hu=content[1])]
    if gas_share > 0:
        low, high = (shape.bounds[0][1], shape.bounds[1][1])
        level = low + gas_share * (high - low)
        surface = HalfSpace((0, level, 0), (0, 1, 0))
        layers.append(Layer(Intersection(inner, surface), "gas"))
    return layers


def filling(rng, contrast, odds):
    """A random content: (tissue, hu). `odds` are of fluid, stool, contrast; contrast only where it was swallowed."""
    odds = np.array(odds, float)
    odds[2] *= contrast
    tissue = ("fluid", "stool", "contrast")[rng.choice(3, p=odds / odds.sum())]
    return tissue, {"fluid": rng.uniform(0, 40), "stool": rng.uniform(-50, 70), "contrast": rng.uniform(80, 380)}[
        tissue
    ]


def stomach(frame, rng, contrast):
    """From the left dome of the diaphragm down and across to the right."""
    points = frame.path([(-98, -15, 62), (-75, -50, 68), (-40, -82, 55), (-5, -92, 25), (2, -78, -8), (-4, -62, -28)])
    points += rng.normal(0, 5, points.shape)
    radii = np.array([30, 34, 28, 22, 17, 11]) * rng.uniform(0.7, 1.15)
    shape = Rough(Tube(points, radii), Field.noise(rng, Tube(points, radii).bounds, 22), 2.5)
    gas = rng.uniform(0.1, 0.5) if rng.uniform() < 0.85 else 0.0
    return hollow(shape, frame, rng, rng.uniform(3, 5), filling(rng, contrast, (3, 2, 4)), gas)


def colon(frame, rng, contrast):
    """Up the right side, across the front, down the left side to the rectum, in pieces with their own content."""
    pieces = [
        [(150, -45, -85), (110, -40, -95), (70, -30, -98), (35, -28, -96), (8, -45, -88)],
        [(8, -45, -88), (22, -85, -70), (35, -102, -30), (38, -105, 10), (22, -98, 50), (-8, -70, 85)],
        [(-8, -70, 85), (-32, -28, 104), (10, -8, 106), (50, -8, 103), (95, -15, 98), (130, -30, 88)],
        [(130, -30, 88), (165, -40, 62), (180, -15, 20), (195, 5, 25), (215, 25, 0), (250, 40, 0)],
    ]
    layers = []
    for points in pieces:
        points = frame.path(points)
        points[1:-1] += rng.normal(0, 6, points[1:-1].shape)
        points = refine(points, 5)
        length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
        # Haustra: the pouches of the colon, every 3 cm or so.
        radii = rng.uniform(14, 24) * (1 + 0.16 * np.sin(length / rng.uniform(3.6, 5.0) + rng.uniform(0, 6)))
        tube = Tube(points, radii * rng.uniform(0.85, 1.1))
        shape = Rough(tube, Field.noise(rng, tube.bounds, 14), 1.8)
        kind = filling(rng, contrast, (1, 4, 3))
        layers += tubular(shape, frame, rng, rng.uniform(1.6, 3), kind, tube, rng.uniform(-0.7, 0.9))
    return layers


def small_bowel(frame, rng, contrast):
    """Loops that fill the front of the cavity: jejunum high on the left, ileum low; fewer where fat takes the room."""
    layers = []
    regions = [((80.0, -62.0, 0.0), (75.0, 40.0, 85.0), 13), ((5.0, -58.0, 62.0), (40.0, 38.0, 32.0), 5)]
    for centre, reach, count in regions:
        for _ in range(max(2, int(count * rng.uniform(0.8, 1.6) * (1.3 - 0.7 * frame.visceral)))):
            layers += loop(np.array(centre), np.array(reach), frame, rng, contrast)
    return layers


def loop(centre, reach, frame, rng, contrast):
    """One loop of small bowel that wanders about within `reach` of `centre`."""
    at = centre + reach * rng.uniform(-1, 1, 3)
    heading = rng.normal(0, 1, 3)
    points = [at]
    for _ in range(rng.integers(5, 10)):
        heading = 0.7 * heading + rng.normal(0, 0.6, 3) + 0.25 * (centre - at) / reach
        at = at + 16 * heading / np.linalg.norm(heading)
        points.append(at)
    points = refine(frame.path(points), 2)
    tube = Tube(points, rng.uniform(8, 15) * (1 + 0.1 * rng.normal(0, 1, len(points))))
    shape = Rough(tube, Field.noise(rng, tube.bounds, 8), 1.2)
    gas = rng.uniform(-0.6, 0.6) if rng.uniform() < 0.25 else -1.0
    return tubular(shape, frame, rng, rng.uniform(1.8, 3), filling(rng, contrast, (3, 1, 5)), tube, gas)


def tubular(shape, frame, rng, wall_mm, content, tube, gas_level):
    """As `hollow`, with gas lying along the tube: above `gas_level` of its radius, -1 none to 1 full."""
    outer = Intersection(shape, Offset(frame.cavity, -1.5))
    inner = Offset(outer, -wall_mm)
    layers = [Layer(outer, "bowel_wall"), Layer(inner, content[0], hu=content[1])]
    if gas_level > -0.95:
        raised = tube.points.copy()
        raised[:, 1] -= tube.radii * (1 - gas_level)
        layers.append(Layer(Intersection(inner, Tube(raised, tube.radii)), "gas"))
    return layers


def refine(points, times):
    """A polyline through the points, rounded by a Catmull-Rom spline with `times` segments for each one."""
    points = np.asarray(points, float)
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.arange(times)[:, None] / times
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
    return np.vstack([*pieces, points[-1:]])
