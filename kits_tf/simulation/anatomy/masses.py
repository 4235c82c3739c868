"""Masses: tumors, cysts and stones of the kidneys, and lesions elsewhere that are none of the kidneys'."""

import dataclasses

import numpy as np

from kits_tf.simulation.phantom import tumors
from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.layers import Layer
from kits_tf.simulation.phantom.shapes import Ellipsoid, Rough, Union, rotation

LARGEST_ML = 350.0
TUMORS = ((0, 1, 2, 3), (0.25, 0.6, 0.1, 0.05))
CYSTS = ((0, 1, 2, 3, 4), (0.4, 0.3, 0.15, 0.1, 0.05))
ELSEWHERE = ((0, 1, 2, 3), (0.4, 0.3, 0.2, 0.1))
PUSHING_MM = 12.0  # smaller masses grow into what is around them, larger ones push it away too


@dataclasses.dataclass
class Mass:
    """A rounded mass, before it has a shape.

    Attributes:
        centre: mm (z, y, x).
        radius: mm.
    """

    centre: np.ndarray
    radius: float


def draw_tumors(rng, surfaces):
    """Where the kidneys' tumors are.

    Args:
        rng: a NumPy generator.
        surfaces: for each kidney (middle [3], points of its surface [count, 3]) in mm.

    Returns:
        list of `Mass`.
    """
    found = []
    for _ in range(rng.choice(TUMORS[0], p=TUMORS[1])):
        volume = tumors.MEDIAN_ML * np.exp(rng.normal(0, tumors.SPREAD)) * 0.7
        radius = radius_of(float(np.clip(volume, tumors.SMALLEST_ML, LARGEST_ML)))
        found.append(at_surface(rng, surfaces, radius, (-0.9, 0.6)))
    return [mass for mass in found if mass is not None]


def radius_of(volume_ml):
    """Radius in mm of a ball of that volume."""
    return (volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)


def at_surface(rng, surfaces, radius, outward):
    """A mass whose centre lies a share `outward` = (low, high) of its radius outside a kidney; None with no kidney."""
    if not surfaces:
        return None
    middle, points = surfaces[rng.integers(len(surfaces))]
    point = points[rng.integers(len(points))]
    normal = (point - middle) / max(np.linalg.norm(point - middle), 1e-6)
    return Mass(point + normal * radius * rng.uniform(*outward), radius)


def tumor_layers(rng, masses, materials):
    """The layers of the kidneys' tumors."""
    layers = []
    for mass in masses:
        kind = str(rng.choice(list(tumors.KINDS), p=list(tumors.KINDS.values())))
        shape = lump(rng, mass, rng.uniform(0.03, 0.1))
        layers += tumors.layers(tumors.Tumor(shape, kind, mass.radius, mass.centre), materials, rng)
    return layers


def cyst_layers(rng, surfaces):
    """Cysts at the kidneys' surfaces: pale and smooth, labelled kidney as KiTS19 does; some dense."""
    layers = []
    for _ in range(rng.choice(CYSTS[0], p=CYSTS[1])):
        mass = at_surface(rng, surfaces, float(np.exp(rng.uniform(np.log(3), np.log(26)))), (-1.0, 0.5))
        if mass is not None:
            hu = rng.uniform(-8, 25) if rng.uniform() < 0.85 else rng.uniform(30, 80)
            layers.append(Layer(lump(rng, mass, 0.02), "cyst", hu=hu, label=1))
    return layers


def stone_layers(rng, surfaces, calculus_hu):
    """Stones within the kidneys, in one patient of five."""
    if rng.uniform() > 0.2:
        return []
    layers = []
    for _ in range(rng.integers(1, 4)):
        mass = at_surface(rng, surfaces, rng.uniform(1.5, 5), (-6, -3))
        if mass is not None:
            layers.append(
                Layer(Ellipsoid(mass.centre, mass.radius * rng.uniform(0.6, 1.2, 3)), "calcium", calculus_hu)
            )
    return layers


def elsewhere_layers(rng, points, contrast):
    """Lesions of the other organs, nodes and collections: bright or pale, and no part of a kidney.

    Args:
        rng: a NumPy generator.
        points: mm [count, 3] inside the trunk, none of them in a kidney.
        contrast: whether they may enhance.
    """
    layers = []
    for _ in range(rng.choice(ELSEWHERE[0], p=ELSEWHERE[1]) if len(points) else 0):
        mass = Mass(points[rng.integers(len(points))], float(np.exp(rng.uniform(np.log(4), np.log(28)))))
        hu = rng.uniform(-10, 200 if contrast else 70)
        layers.append(Layer(lump(rng, mass, rng.uniform(0.02, 0.12)), "tumor_solid", hu=hu, within=(0,)))
    return layers


def lump(rng, mass, roughness):
    """A rounded, sometimes lobed solid, whose surface varies by a share `roughness` of its radius."""
    radius = mass.radius
    turn = rotation(*((axis, rng.uniform(-np.pi, np.pi)) for axis in range(3)))
    core = Ellipsoid(mass.centre, radius * np.exp(rng.normal(0, 0.13, 3)), turn)
    lobes = [core]
    for _ in range(rng.integers(0, 3) if roughness > 0.03 else 0):
        direction = rng.normal(0, 1, 3)
        direction /= np.linalg.norm(direction)
        lobes.append(Ellipsoid(mass.centre + direction * radius * 0.6, radius * rng.uniform(0.4, 0.7, 3)))
    solid = Union(*lobes, blend_mm=0.4 * radius) if len(lobes) > 1 else core
    return Rough(solid, Field.noise(rng, solid.bounds, max(0.6 * radius, 4.0)), roughness * radius)
