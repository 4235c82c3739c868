"""Tumors, cysts and stones of the kidneys, and lesions elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kits_tf.simulation.appearance import Appearance
from kits_tf.simulation.canvas import Layer
from kits_tf.simulation.fields import Field
from kits_tf.simulation.shapes import Shape, ellipsoid, rotation, union

Surfaces = list[tuple[np.ndarray, np.ndarray]]
"""For each kidney its centre [3] and points of its surface [count, 3] in mm (z, y, x)."""

# Log-normal volume of a tumor's core in ml. KiTS19's tumors have a median of 30 ml and a standard deviation of 1.6 in
# the logarithm; here lobes add to the core.
MEDIAN_ML, SPREAD, SMALLEST_ML, LARGEST_ML = 21.0, 1.5, 0.8, 350.0
KINDS = {"clear_cell": 0.65, "papillary": 0.13, "chromophobe": 0.11, "solid": 0.11}  # about as in KiTS19
PATCHY = {"clear_cell": 0.75, "papillary": 0.3, "chromophobe": 0.4, "solid": 0.3}  # how often they have paler parts
NUM_TUMORS = (0.25, 0.6, 0.1, 0.05)  # probabilities of 0, 1, 2, ... lesions per patient
NUM_CYSTS = (0.4, 0.3, 0.15, 0.1, 0.05)
NUM_ELSEWHERE = (0.4, 0.3, 0.2, 0.1)
PUSHING_MM = 12.0  # larger masses also push their surroundings away


class Mass(NamedTuple):
    """A rounded mass, before it has a shape; in mm."""

    centre: np.ndarray  # (z, y, x)
    radius: float


def draw_tumors(rng: np.random.Generator, surfaces: Surfaces) -> list[Mass]:
    """Return the kidney tumors of a patient."""
    masses = []
    for _ in range(_draw_count(rng, NUM_TUMORS)):
        volume_ml = float(np.clip(MEDIAN_ML * np.exp(rng.normal(0, SPREAD)), SMALLEST_ML, LARGEST_ML))
        radius = (volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
        masses += _at_surface(rng, surfaces, radius, -0.9, 0.6)
    return masses


def cyst_layers(rng: np.random.Generator, surfaces: Surfaces) -> list[Layer]:
    """Return cysts at the kidneys' surfaces, some of them dense; labelled kidney, as in KiTS19."""
    layers = []
    for _ in range(_draw_count(rng, NUM_CYSTS)):
        for mass in _at_surface(rng, surfaces, float(np.exp(rng.uniform(np.log(3), np.log(26)))), -1.0, 0.5):
            hu = rng.uniform(-8, 25) if rng.uniform() < 0.85 else rng.uniform(30, 80)
            layers.append(Layer(lump(rng, mass, 0.02), "cyst", hu, label=1))
    return layers


def stone_layers(rng: np.random.Generator, surfaces: Surfaces, look: Appearance) -> list[Layer]:
    """Return stones within the kidneys, in one patient of five."""
    if rng.uniform() > 0.2:
        return []
    layers = []
    for _ in range(rng.integers(1, 4)):
        for mass in _at_surface(rng, surfaces, rng.uniform(1.5, 5), -6, -3):
            shape = ellipsoid(mass.centre, mass.radius * rng.uniform(0.6, 1.2, 3))
            layers.append(Layer(shape, "calcium", look.calculus))
    return layers


def elsewhere_layers(rng: np.random.Generator, points: np.ndarray, look: Appearance) -> list[Layer]:
    """Return lesions of other organs, nodes and collections without a label, at some of the points [count, 3]."""
    layers = []
    for _ in range(_draw_count(rng, NUM_ELSEWHERE) if len(points) else 0):
        mass = Mass(points[rng.integers(len(points))], float(np.exp(rng.uniform(np.log(4), np.log(28)))))
        hu = rng.uniform(-10, 200 if look.enhanced else 70)
        layers.append(Layer(lump(rng, mass, rng.uniform(0.02, 0.12)), "solid", hu, only_background=True))
    return layers


def lump(rng: np.random.Generator, mass: Mass, roughness: float) -> Shape:
    """Return a rounded, sometimes lobed solid; `roughness` is the variation of its surface in radii."""
    radius = mass.radius
    turn = rotation(rng.uniform(-np.pi, np.pi, 3))
    lobes = [ellipsoid(mass.centre, radius * np.exp(rng.normal(0, 0.13, 3)), turn)]
    for _ in range(rng.integers(0, 3) if roughness > 0.03 else 0):
        direction = rng.normal(0, 1, 3)
        direction /= np.linalg.norm(direction)
        lobes.append(ellipsoid(mass.centre + direction * radius * 0.6, radius * rng.uniform(0.4, 0.7, 3)))
    solid = union(lobes, blend_mm=0.4 * radius) if len(lobes) > 1 else lobes[0]
    return solid.roughened(Field.noise(rng, solid.bounds, max(0.6 * radius, 4.0)), roughness * radius)


def _draw_count(rng: np.random.Generator, shares: tuple[float, ...]) -> int:
    """Return a random number of lesions."""
    return int(rng.choice(len(shares), p=shares))


def _at_surface(rng: np.random.Generator, surfaces: Surfaces, radius: float, low: float, high: float) -> list[Mass]:
    """Return a mass whose centre is `low` to `high` radii outside a kidney; empty if there is no kidney."""
    if not surfaces:
        return []
    middle, points = surfaces[rng.integers(len(surfaces))]
    point = points[rng.integers(len(points))]
    normal = (point - middle) / max(np.linalg.norm(point - middle), 1e-6)
    return [Mass(point + normal * radius * rng.uniform(low, high), radius)]


def tumor_layers(rng: np.random.Generator, mass: Mass, look: Appearance) -> list[Layer]:
    """Return the layers of a kidney tumor: the mass, a capsule, paler parts, a necrotic centre, calcium."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    core = shape = lump(rng, mass, rng.uniform(0.03, 0.1))
    hu = look.tumor_hu(rng, kind)
    if rng.uniform() < 0.35 and mass.radius > 8:
        core = shape.offset(-rng.uniform(1.0, 2.0))
        layers = [Layer(shape, kind, hu + 15, label=2), Layer(core, kind, hu)]  # a capsule
    else:
        layers = [Layer(shape, kind, hu, label=2)]
    if mass.radius > 7 and rng.uniform() < PATCHY[kind]:
        field = Field.noise(rng, shape.bounds, max(0.35 * mass.radius, 3.5))
        paler = core.offset(-1).above(field, rng.uniform(0.1, 0.9), 4.0)
        layers.append(Layer(paler, kind, hu + rng.uniform(-0.45, -0.15) * max(hu - 20, 15)))
    if mass.radius > 12 and rng.uniform() < (0.65 if kind == "clear_cell" else 0.3):
        # Necrosis: an irregular pale centre, sometimes most of the mass.
        share, shift = rng.uniform(0.3, 0.8), rng.normal(0, 0.12 * mass.radius, 3)
        middle = ellipsoid(mass.centre + shift, mass.radius * share * rng.uniform(0.8, 1.2, 3))
        ragged = middle.roughened(Field.noise(rng, middle.bounds, max(0.3 * mass.radius, 4)), 0.18 * mass.radius)
        layers.append(Layer(ragged & shape.offset(-2.0), "necrosis", rng.uniform(8, 35)))
    if rng.uniform() < 0.12:
        flake = mass.centre + rng.normal(0, 0.3 * mass.radius, 3)
        layers.append(Layer(ellipsoid(flake, rng.uniform(1, 4, 3)) & shape, "calcium", look.calculus))
    return layers
