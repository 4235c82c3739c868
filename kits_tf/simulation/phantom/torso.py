"""Skin, fat, muscle and bone: everything of the trunk but its organs."""

import numpy as np

from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.frame import BOTTOM_MM, TOP_MM
from kits_tf.simulation.phantom.layers import Layer
from kits_tf.simulation.phantom.shapes import (
    Bounded,
    Difference,
    Ellipsoid,
    HalfSpace,
    Intersection,
    Offset,
    Rough,
    Tube,
    Union,
    rotation,
)
from kits_tf.simulation.phantom.spine import Discs, Vertebrae, processes

LIMIT = 260.0  # mm: half of the widest field of view


def covering(frame, rng):
    """Skin, fat under it, the muscle wall, and the fat that fills the cavity."""
    sheets = Field.noise(rng, ((TOP_MM, -LIMIT, -LIMIT), (BOTTOM_MM, LIMIT, LIMIT)), (60, 30, 30))
    wall = Rough(frame.wall, sheets, 1.5)
    return [
        Layer(frame.body, "skin"),
        Layer(Offset(frame.body, -rng.uniform(1.5, 2.5)), "fat"),
        Layer(wall, "muscle"),
        Layer(frame.cavity, "fat", hu=rng.uniform(-108, -94)),
    ]


def table(frame, rng):
    """The table under a trunk."""
    back = max(frame.on_cavity(z, 0.0)[1] for z in (-150.0, 0.0, 150.0))
    return table_top(rng, back + frame.wall_mm + frame.fat_mm[2] * 1.3 + rng.uniform(4, 12))


def table_top(rng, back):
    """The curved table top under a back at y = `back` mm, a bright shell around a light core."""
    radius, width = rng.uniform(320, 600), rng.uniform(190, 240)
    angles = np.linspace(-1, 1, 19) * np.arcsin(width / radius)
    thickness = rng.uniform(6, 14)
    centre = back + thickness - radius
    arc = np.column_stack([np.zeros(19), centre + radius * np.cos(angles), radius * np.sin(angles)])
    shell, core = Sheet(arc, thickness), Sheet(arc, thickness - rng.uniform(1.2, 2.2))
    return [Layer(shell, "table_shell"), Layer(core, "table_core")]


class Sheet:
    """A tube of polyline cross-section that runs along z without end: the table top."""

    def __init__(self, points, radius):
        self.tube = Tube(points, radius)
        low, high = self.tube.bounds
        self.bounds = (np.array([-np.inf, *low[1:]]), np.array([np.inf, *high[1:]]))

    def value(self, grid):
        from kits_tf.simulation.phantom.grid import Grid

        flat = self.tube.value(Grid(np.zeros(1, np.float32), grid.y, grid.x, grid.spacing_mm))
        return np.broadcast_to(flat, grid.shape).copy()


def chest(frame, rng):
    """Lungs down to the diaphragm, and the heart; only the top slices of most scans show them."""
    s = frame.scale
    domes = diaphragm(frame, rng)
    floor = HalfSpace((rng.uniform(-70, -45) * s, frame.centre_y + 70, 0), (1.0, -rng.uniform(0.25, 0.5), 0))
    inner = Offset(frame.cavity, -2)
    lungs = Difference(Intersection(inner, floor), *domes)
    middle = Ellipsoid((-260 * s, -30, 5), (160, 75, 34), exponent=2.5)
    heart = Ellipsoid(frame.place(-165, -80, 25), (50 * s, 42, 62), rotation((0, -0.5), (1, 0.4)))
    return [
        Layer(Bounded(lungs, (-np.inf, -LIMIT, -LIMIT), (-20.0, LIMIT, LIMIT)), "lung"),
        Layer(Intersection(middle, inner), "fat"),
        Layer(Difference(Intersection(heart, inner), *domes), "heart"),
    ]


def diaphragm(frame, rng):
    """The two domes that bulge into the chest: the right one higher, over the liver."""
    right = rng.uniform(-128, -108) * frame.scale
    left = right + rng.uniform(5, 22)
    depth = (frame.anterior + frame.posterior) / 2
    middle = frame.centre_y + (frame.posterior - frame.anterior) / 2
    wide = frame.half_width
    return [
        Ellipsoid((right + 95, middle, -0.46 * wide), (95, 0.93 * depth, 0.52 * wide), exponent=2.4),
        Ellipsoid((left + 95, middle, 0.46 * wide), (95, 0.93 * depth, 0.52 * wide), exponent=2.4),
        Ellipsoid((right + 105, middle - 10, 0), (85, 0.85 * depth, 0.5 * wide), exponent=2.4),
    ]


def back_muscles(frame, rng):
    """Erector spinae, psoas and quadratus lumborum on both sides."""
    layers = []
    bulk = rng.uniform(0.8, 1.15)
    fatty = (rng.uniform(4, 9), rng.uniform(8, 22))
    for side in (-1, 1):
        z = np.array([-400.0, -150, -60, 0, 60, 110, 160, 210])
        y, x = frame.spine_centre(z)
        wide = np.array([18.0, 21, 24, 27, 28, 27, 21, 13]) * bulk
        back = np.array([frame.on_cavity(level, 0.0)[1] for level in z]) + 0.6 * frame.wall_mm
        erector = Tube(np.column_stack([z, np.maximum(back - wide / 1.2, y + 38), x + side * (9 + wide)]), wide, 1.2)
        multifidus = Tube(np.column_stack([z, y + 48, x + side * 13]), 0.6 * wide)
        z = np.array([-40.0, 0, 40, 80, 120, 170, 220])
        y, x = frame.spine_centre(z)
        thick = np.array([5.0, 11, 16, 20, 22, 20, 16]) * bulk
        out = np.array([24.0, 30, 36, 43, 50, 60, 66])
        forward = np.array([8.0, 10, 8, 4, -12, -45, -75])
        psoas = Tube(np.column_stack([z, y + forward, x + side * out]), thick, flatten=rng.uniform(0.8, 1.0))
        z = np.array([-50.0, -10, 40, 90])
        y, x = frame.spine_centre(z)
        side_out = np.array([40.0, 50, 58, 66])
        quadratus = Tube(np.column_stack([z, y + 34, x + side * side_out]), np.array([5.0, 9, 11, 9]) * bulk)
        layers += [Layer(muscle, "muscle", texture=fatty) for muscle in (erector, multifidus, quadratus)]
        layers.append(Layer(psoas, "muscle"))
        # Crus of the diaphragm: a strand beside the aorta that is easily taken for a vessel.
        y, x = frame.spine_centre(np.array([-110.0, -60, 0]))
        crus = Tube(np.column_stack([[-110.0, -60, 0], y - 16, x + side * 20 + 4]), [4, 6, 3])
        layers.append(Layer(crus, "muscle"))
    return layers


def bones(frame, rng):
    """Spine, ribs with their cartilage, pelvis and hips."""
    vertebrae = Vertebrae(frame, rng)
    spongy = rng.uniform(120, 240)
    layers = [Layer(Discs(vertebrae), "disc")]
    for shape in processes(vertebrae):
        layers.append(Layer(shape, "cortical_bone", hu=rng.uniform(300, 480), texture=(30, 80)))
    layers += [
        Layer(vertebrae, "cortical_bone"),
        Layer(Offset(vertebrae, -rng.uniform(1.4, 2.2)), "spongy_bone", hu=spongy),
        Layer(vertebrae.canal(), "canal"),
    ]
    return layers + ribs(frame, rng) + pelvis(frame, rng, spongy)


def ribs(frame, rng):
    """Twelve pairs, each a tube in the muscle wall that runs from the spine forward and down."""
    layers = []
    tilt = rng.uniform(45, 75)
    marrow = rng.uniform(120, 260)
    for number in range(12, 2, -1):
        start = -44 * frame.scale - (12 - number) * 0.8 * frame.level_mm
        last = {12: 0.95, 11: 1.5}.get(number, 2.45)
        for side in (-1, 1):
            reach = last * rng.uniform(0.9, 1.05)
            angles = np.linspace(0.28, reach, 14)
            drop = start + tilt * (angles - 0.28) / 1.5 + rng.normal(0, 2)
            drop -= np.maximum(angles - 1.9, 0) * 45  # the front ends rise again to the breastbone
            inside = frame.wall_mm * 0.45
            points = np.array([frame.on_cavity(z, side * a, inside) for z, a in zip(drop, angles, strict=True)])
            radius = rng.uniform(4.2, 5.4)
            bony = 14 if number > 10 else 11
            layers.append(Layer(Tube(points[:bony], radius), "cortical_bone"))
            layers.append(Layer(Tube(points[:bony], radius - 1.6), "spongy_bone", hu=marrow))
            if bony < 14:
                layers.append(Layer(Tube(points[bony - 1 :], radius + 0.6), "cartilage"))
    return layers


def pelvis(frame, rng, spongy):
    """Sacrum, iliac wings and the heads of the thigh bones, with the muscles around them."""
    s = frame.scale
    width = frame.half_width / 130
    layers = []
    sacrum_axes = rotation((2, -0.55))
    sacrum = Ellipsoid((172 * s, 40, 0), (58 * s, 24, 52 * width), sacrum_axes, exponent=2.4)
    for side in (-1, 1):
        gluteus = Ellipsoid((200 * s, 58, side * 82 * width), (95 * s, 42, 48 * width), exponent=2.3)
        layers.append(Layer(gluteus, "muscle", texture=(8, 18)))
        layers.append(Layer(Ellipsoid((250 * s, -15, side * 118 * width), (75, 50, 30)), "muscle", texture=(8, 16)))
        wing_axes = rotation((0, side * 0.75), (1, side * 0.28))
        wing = Ellipsoid((150 * s, 2, side * 92 * width), (68 * s, 58, 8.5), wing_axes, bend_mm=0)
        head = Ellipsoid((252 * s, -5, side * 92 * width), (24, 24, 24))
        socket = Ellipsoid((245 * s, -2, side * 82 * width), (38, 32, 24))
        for bone, shell in ((wing, 1.8), (socket, 2.0), (head, 1.5)):
            layers.append(Layer(bone, "cortical_bone"))
            layers.append(Layer(Offset(bone, -shell), "spongy_bone", hu=spongy))
    layers += [
        Layer(sacrum, "cortical_bone"),
        Layer(Offset(sacrum, -2), "spongy_bone", hu=spongy * 0.8),
        Layer(Union(Ellipsoid((280 * s, -75, 18), (14, 12, 30)), Ellipsoid((280 * s, -75, -18), (14, 12, 30))),
              "cortical_bone", hu=350.0),
    ]  # fmt: skip
    return layers
