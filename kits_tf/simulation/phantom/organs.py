"""Solid organs of the abdomen: liver with its vessels and gall bladder, spleen, pancreas, adrenals, bladder."""

import numpy as np

from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.layers import Layer
from kits_tf.simulation.phantom.shapes import (
    Difference,
    Ellipsoid,
    Intersection,
    Offset,
    Rough,
    Tube,
    Union,
    rotation,
)


def organs(frame, rng):
    """All of them, in painting order."""
    layers = liver(frame, rng) + spleen(frame, rng)
    return layers + pancreas(frame, rng) + bladder(frame, rng)


def rough(shape, rng, step_mm, amplitude_mm):
    """The shape with a random surface of its own."""
    return Rough(shape, Field.noise(rng, shape.bounds, step_mm), amplitude_mm)


def liver(frame, rng):
    """Two lobes against the right wall and under the diaphragm; lesions and vessels within; the gall bladder."""
    s = frame.scale * rng.uniform(0.92, 1.1)
    lower = rng.uniform(-52, -30)
    wide, deep = frame.half_width / 130, (frame.anterior + frame.posterior) / 185
    radii = np.array([88, 84 * deep, 66 * wide]) * s
    right = Ellipsoid(frame.place(lower, -28, -78), radii, rotation((2, 0.15)), exponent=2.3)
    radii = np.array([42, 34 * deep, 82 * wide]) * s
    left = Ellipsoid(frame.place(-72, -82, -5), radii, rotation((1, rng.uniform(-0.2, 0.3))))
    hollow = Ellipsoid(frame.place(15, -40, -20), np.array([60, 42, 45]) * s)
    body = Difference(Union(right, left, blend_mm=25), hollow)
    shape = Intersection(rough(body, rng, 45, 3.5), Offset(frame.cavity, -3))
    layers = [Layer(shape, "liver")]
    for _ in range(9):
        start = frame.place(rng.uniform(-70, -40), rng.uniform(-50, -20), rng.uniform(-60, -25))
        bend = start + rng.normal(0, 18, 3) + (0, 0, -15)
        layers.append(Layer(Intersection(Tube([start, bend, bend + rng.normal(0, 25, 3)], [4.5, 3.0, 1.5]), shape),
                            "portal"))  # fmt: skip
    for _ in range(rng.poisson(0.6)):
        centre = frame.place(rng.uniform(-90, 0), rng.uniform(-80, 10), rng.uniform(-110, -40))
        lesion = rough(Ellipsoid(centre, rng.uniform(4, 14, 3)), rng, 10, 1.0)
        layers.append(Layer(Intersection(lesion, shape), "cyst", hu=rng.uniform(5, 60)))
    if rng.uniform() < 0.8:
        bladder_axes = rotation((2, rng.uniform(-0.6, 0.2)))
        gall = Ellipsoid(frame.place(rng.uniform(-5, 25), -62, -52), (27 * s, 12 * s, 12 * s), bladder_axes)
        layers += [Layer(gall, "bowel_wall"), Layer(Offset(gall, -1.8), "bile")]
    return layers


def spleen(frame, rng):
    """A bean against the left wall behind the stomach."""
    s = rng.uniform(0.8, 1.2)
    centre = frame.place(rng.uniform(-68, -45), 12, 100)
    axes = rotation((0, rng.uniform(0.3, 0.7)), (2, rng.uniform(-0.5, -0.1)))
    bean = Ellipsoid(centre, np.array([50, 38, 22]) * s, axes)
    shape = Intersection(rough(bean, rng, 30, 2.0), Offset(frame.cavity, -4))
    return [Layer(shape, "spleen")]


def pancreas(frame, rng):
    """From the hilum of the spleen across the spine to the bend of the duodenum; the adrenals."""
    points = frame.path([(-32, 0, 85), (-28, -30, 55), (-20, -50, 20), (-8, -52, -10), (14, -46, -30)])
    points += rng.normal(0, 4, points.shape)
    gland = rough(Tube(points, np.array([9, 10, 9, 10, 14]) * rng.uniform(0.8, 1.15)), rng, 9, 2.2)
    layers = [Layer(gland, "pancreas")]
    for side in (-1, 1):
        top = frame.place(-62, 0, side * 42) + rng.normal(0, 4, 3)
        for lean in (-7, 9):
            leg = Tube([top, top + (rng.uniform(14, 24), 10, side * 6 + lean)], [3.4, 2.4])
            layers.append(Layer(leg, "adrenal"))
    return layers


def bladder(frame, rng):
    """The urinary bladder and the uterus or prostate behind it."""
    s = rng.uniform(0.7, 1.25)
    z = 232 * frame.scale
    full = Ellipsoid((z, -45, rng.normal(0, 5)), np.array([32, 32, 40]) * s, exponent=2.3)
    behind = rough(Ellipsoid((z + 12, 2, 0), rng.uniform(18, 30, 3)), rng, 15, 2)
    content = Layer(Offset(full, -3), "urine", hu=rng.uniform(0, 25))
    return [Layer(behind, "uterus"), Layer(full, "bowel_wall"), content]
