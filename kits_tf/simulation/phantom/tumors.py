"""Kidney tumors: size, place, kind and inner structure."""

import dataclasses

import numpy as np

from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.layers import Layer
from kits_tf.simulation.phantom.materials import PHASES, hu_range
from kits_tf.simulation.phantom.shapes import (
    Above,
    Difference,
    Ellipsoid,
    Intersection,
    Offset,
    Rough,
    Tube,
    Union,
    rotation,
    volume_ml,
)

# Log-normal volume in ml: KiTS19's tumors have a median of 30 ml and a standard deviation of 1.6 in the logarithm.
MEDIAN_ML, SPREAD, SMALLEST_ML, LARGEST_ML = 30.0, 1.5, 0.8, 1000.0

# Kinds with their shares among KiTS19's patients, roughly.
KINDS = {"tumor_clear_cell": 0.65, "tumor_papillary": 0.13, "tumor_chromophobe": 0.11, "tumor_solid": 0.11}


@dataclasses.dataclass
class Tumor:
    """One tumor: its outer surface and its kind."""

    shape: object
    kind: str
    radius: float
    centre: np.ndarray


def counts(rng, number_of_kidneys):
    """How many tumors each kidney has: most patients one, some none, a few several or on both sides."""
    result = [0] * number_of_kidneys
    draw = rng.uniform()
    if draw < 0.04:
        return result
    result[int(rng.integers(number_of_kidneys))] = 1
    if draw > 0.97:
        result = [max(1, c) for c in result]
    elif draw > 0.93:
        result = [c * int(rng.integers(2, 4)) for c in result]
    return result


def tumors(frame, kidneys, trunks, rng):
    """The patient's tumors, list of `Tumor`."""
    result = []
    for kidney, count in zip(kidneys, counts(rng, len(kidneys)), strict=True):
        for i in range(count):
            volume = MEDIAN_ML * np.exp(rng.normal(0, SPREAD)) / (1 + 2 * (i > 0))
            result.append(draw_tumor(frame, kidney, trunks, rng, float(np.clip(volume, SMALLEST_ML, LARGEST_ML))))
    return result


def draw_tumor(frame, kidney, trunks, rng, volume):
    """A tumor of about `volume` ml in, on or bulging out of a kidney, kept off spine, great vessels and walls."""
    radius = (volume * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    centre = place(frame, kidney, rng, radius)
    state = rng.bit_generator.state
    size = radius
    for _ in range(2):
        rng.bit_generator.state = state
        shape = lump(frame, trunks, rng, centre, size)
        size *= float(np.clip((volume / max(volume_ml(shape, max(radius / 8, 0.7)), 0.05)) ** (1 / 3), 0.8, 1.25))
    rng.bit_generator.state = state
    return Tumor(lump(frame, trunks, rng, centre, size), str(kind), size, centre)


def place(frame, kidney, rng, radius):
    """The centre of a tumor: somewhere at the kidney's surface, from deep inside to mostly outside."""
    along = rng.uniform(-0.9, 0.9)
    around = rng.uniform(-2.4, 2.4) if radius < 15 else rng.uniform(-1.9, 1.9)
    girth = np.sqrt(1 - along**2)
    direction = np.array([along, girth * np.cos(around), girth * np.sin(around)])
    surface = kidney.at(*direction)
    normal = (direction / kidney.radii) @ kidney.axes
    normal /= np.linalg.norm(normal)
    outward = rng.uniform(-1.0, 0.55) if radius < 15 else rng.uniform(-0.55, 0.65)
    centre = surface + normal * radius * outward
    # Large tumors grow where there is room: forward within the cavity, away from the spine.
    room = np.array([kidney.centre[0], frame.centre_y, kidney.side * 0.5 * frame.half_width])
    for _ in range(20):
        beside_spine = np.hypot(centre[1] - 5, centre[2]) > 26 + 0.75 * radius
        y, x = centre[1:] + 0.7 * radius * np.sign(centre[1:] - (frame.centre_y, 0))
        inside = cavity_norm(frame, centre[0], y, centre[2]) < 1 and cavity_norm(frame, centre[0], centre[1], x) < 1
        if beside_spine and inside:
            break
        if not inside:
            centre = centre + 0.1 * (room - centre)
        if not beside_spine:
            centre = centre + (0, -1.0, kidney.side * 4.0)
    return centre


def cavity_norm(frame, z, y, x):
    """Below 1 within the cavity at (z, y, x) mm."""
    half_width, anterior, posterior, cy, cx = (float(v[0]) for v in frame.cavity_column.at(np.array([z])))
    n = frame.cavity_column.exponent[int(y > cy)]
    deep = anterior if y < cy else posterior
    return (abs(y - cy) / deep) ** n + (abs(x - cx) / half_width) ** n


def lump(frame, trunks, rng, centre, radius):
    """The outer surface: a rounded, lobed mass, cut back where bones, vessels and walls stop it."""
    turn = rotation(*((axis, rng.uniform(-np.pi, np.pi)) for axis in range(3)))
    core = Ellipsoid(centre, radius * np.exp(rng.normal(0, 0.12, 3)), turn)
    lobes = [core]
    for _ in range(rng.integers(0, 3)):
        direction = rng.normal(0, 1, 3)
        direction /= np.linalg.norm(direction)
        lobes.append(Ellipsoid(centre + direction * radius * 0.6, radius * rng.uniform(0.4, 0.7, 3)))
    mass = Union(*lobes, blend_mm=0.4 * radius) if len(lobes) > 1 else core
    grain = max(0.6 * radius, 4.0)
    mass = Rough(mass, Field.noise(rng, mass.bounds, grain), rng.uniform(0.03, 0.09) * radius)
    z = np.array([centre[0] - 2 * radius - 10, centre[0] + 2 * radius + 10])
    y, x = frame.spine_centre(z)
    spine = Tube(np.column_stack([z, y + 2, x]), 27 * frame.scale)
    vessels = [Offset(trunks.aorta, 1.5), Offset(trunks.cava, 1.5)]
    return Difference(Intersection(mass, Offset(frame.cavity, -2)), spine, *vessels)


def layers(tumor, materials, rng):
    """What is painted for a tumor: the mass, its capsule, denser and paler parts, its dead centre, calcium."""
    hu = tumor_hu(tumor.kind, materials, rng)
    capsule = rng.uniform() < 0.35 and tumor.radius > 8
    result = [Layer(tumor.shape, tumor.kind, hu=hu + (15 if capsule else 0), label=2)]
    core = Offset(tumor.shape, -rng.uniform(1.0, 2.0)) if capsule else tumor.shape
    if capsule:
        result.append(Layer(core, tumor.kind, hu=hu))
    patchy = {"tumor_clear_cell": 0.75, "tumor_papillary": 0.3, "tumor_chromophobe": 0.4, "tumor_solid": 0.3}
    if tumor.radius > 7 and rng.uniform() < patchy[tumor.kind]:
        field = Field.noise(rng, tumor.shape.bounds, max(0.35 * tumor.radius, 3.5))
        paler = Intersection(Offset(core, -1), Above(field, rng.uniform(0.1, 0.9), 4.0))
        result.append(Layer(paler, tumor.kind, hu=hu + rng.uniform(-0.45, -0.15) * max(hu - 20, 15)))
    if tumor.radius > 12 and rng.uniform() < {"tumor_clear_cell": 0.65}.get(tumor.kind, 0.3):
        result += dead_centre(tumor, rng)
    if rng.uniform() < 0.12:
        flake = tumor.centre + rng.normal(0, 0.3 * tumor.radius, 3)
        result.append(Layer(Intersection(Ellipsoid(flake, rng.uniform(1, 4, 3)), tumor.shape), "calcium"))
    return result


def tumor_hu(kind, materials, rng):
    """Mean HU: the kind's range at the phase, but at least 15 HU from the kidney's cortex where the phase allows."""
    low, high = hu_range(kind, materials.phase)
    hu = rng.uniform(low, high)
    cortex = materials.hu["cortex"]
    if materials.phase != PHASES[0] and abs(hu - cortex) < 15:
        hu = cortex + (18 if hu > cortex else -18)
    return hu


def dead_centre(tumor, rng):
    """Necrosis: an irregular pale middle, sometimes most of the mass."""
    share = rng.uniform(0.3, 0.8)
    middle = Ellipsoid(
        tumor.centre + rng.normal(0, 0.12 * tumor.radius, 3), tumor.radius * share * rng.uniform(0.8, 1.2, 3)
    )
    ragged = Rough(middle, Field.noise(rng, middle.bounds, max(0.3 * tumor.radius, 4)), 0.18 * tumor.radius)
    inside = Intersection(ragged, Offset(tumor.shape, -2.0))
    return [Layer(inside, "necrosis", hu=rng.uniform(8, 35))]
