"""Kidneys: a bean of cortex around pyramids, sinus fat, collecting system and vessels; cysts and stones.

Sizes, distances and tilts follow the KiTS19 label volumes: a healthy kidney has 209 ml (110 to 400), its principal
half axes are about 60, 34 and 26 mm, the two lie 149 mm (76 to 201) apart, the left one 7 mm higher, and the long axis
leans forward and outward at its lower end.
"""

import dataclasses

import numpy as np

from kits_tf.simulation.phantom.bowel import refine
from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.layers import Layer
from kits_tf.simulation.phantom.shapes import (
    Above,
    Difference,
    Ellipsoid,
    Intersection,
    Offset,
    Rough,
    Tube,
    Union,
    volume_ml,
)

RADII = np.array([60.0, 34.0, 26.5])  # mm along the long axis, from hilum to outer border, across
MEDIAN_ML, SPREAD = 209.0, 0.24  # of a kidney's log-normal volume


@dataclasses.dataclass
class Kidney:
    """One kidney.

    Attributes:
        side: -1 the patient's right, 1 left.
        centre: mm.
        axes: rows are the long axis (downward), the axis from hilum to outer border, and the one across.
        radii: mm along them.
        bean: its outer surface.
        solid: the bean without its sinus: what is labelled kidney.
        sinus: the hollow at the hilum.
    """

    side: int
    centre: np.ndarray
    axes: np.ndarray
    radii: np.ndarray
    bend_mm: float = 0.0
    bean: object = None
    solid: object = None
    sinus: object = None

    @classmethod
    def draw(cls, rng, side, centre, volume=None, tilt=None):
        """A random kidney of `volume` ml at `centre`."""
        if volume is None:
            volume = float(np.clip(MEDIAN_ML * np.exp(rng.normal(0, SPREAD)), 95, 400))
        axes = kidney_axes(rng, side) if tilt is None else tilt
        shape = RADII * np.exp(rng.normal(0, 0.06, 3))
        kidney = cls(side, np.asarray(centre, float), axes, shape, bend_mm=rng.uniform(4, 12))
        state = rng.bit_generator.state
        size = 1.0
        for _ in range(3):  # the sinus and the rough surface change the volume: brought to it in a few rounds
            rng.bit_generator.state = state
            kidney.radii = shape * size
            kidney.build(rng)
            size *= (volume / max(volume_ml(kidney.solid, 2.5), 1.0)) ** (1 / 3)
        return kidney

    def build(self, rng):
        """Makes the shapes of the sizes."""
        smooth = Ellipsoid(self.centre, self.radii, self.axes, bend_mm=self.bend_mm, exponent=2.15)
        self.bean = Rough(smooth, Field.noise(rng, smooth.bounds, 20), rng.uniform(0.8, 2.0))
        depth, height, width = rng.uniform(0.75, 1.0), rng.uniform(0.36, 0.5), rng.uniform(0.3, 0.48)
        hollow = self.at(rng.uniform(-0.08, 0.08), -1.0, 0.0)
        radii = self.radii * (height, depth, width)
        self.sinus = Rough(Ellipsoid(hollow, radii, self.axes), Field.noise(rng, smooth.bounds, 9), 1.6)
        self.solid = Difference(self.bean, self.sinus)

    def at(self, u, v, w):
        """The point at shares of the radii along its axes, in mm, bent like the kidney."""
        local = np.array([u, v, w]) * self.radii - np.array([0, self.bend_mm * u * u, 0])
        return self.centre + local @ self.axes

    def layers(self, frame, materials, rng, trunks):
        """Parenchyma, sinus, collecting system, vessels; labels set."""
        thick = rng.uniform(5.5, 9.0)
        lobes = Field.noise(rng, self.bean.bounds, rng.uniform(9, 13))
        pyramids = Intersection(Offset(self.bean, -thick), Above(lobes, rng.uniform(-0.5, 0.1), 6.0))
        layers = [
            Layer(self.solid, "cortex", label=1),
            Layer(pyramids, "medulla", within=(1,)),
            Layer(Intersection(self.sinus, Offset(self.bean, 4)), "stranded_fat"),
        ]
        return layers + self.collecting_system(frame, materials, rng) + self.pedicle(frame, rng, trunks)

    def collecting_system(self, frame, materials, rng):
        """Renal pelvis, calyces and ureter; a stone now and then."""
        dilated = rng.uniform(0.8, 1.3) if rng.uniform() < 0.85 else rng.uniform(1.5, 2.3)
        pelvis = self.at(0.03, -0.72, 0)
        layers = [Layer(Ellipsoid(pelvis, np.array([11, 8, 5]) * dilated, self.axes), "urine")]
        tips = []
        for u in (-0.55, -0.3, 0.0, 0.3, 0.55):
            tip = self.at(u + rng.normal(0, 0.04), rng.uniform(-0.3, 0.05), rng.uniform(-0.3, 0.3))
            tips.append(tip)
            middle = (pelvis + tip) / 2 + rng.normal(0, 2, 3)
            layers.append(Layer(Tube([pelvis, middle, tip], np.array([3.2, 2.2, 3.6]) * dilated), "urine"))
        outlet = self.at(0.25, -1.2, 0.1)
        course = [pelvis, outlet, (max(90, outlet[0] + 25), -8, self.side * 45), (160, -5, self.side * 55),
                  (225, 5, self.side * 30)]  # fmt: skip
        if outlet[0] < 110:
            layers.append(Layer(Tube(refine(course, 4), rng.uniform(1.5, 2.6) * min(dilated, 1.4)), "urine"))
        if rng.uniform() < 0.12:
            layers.append(Layer(Ellipsoid(tips[rng.integers(5)], rng.uniform(1.5, 5, 3)), "calcium"))
        return layers

    def pedicle(self, frame, rng, trunks):
        """Renal artery and vein from the trunks into the sinus, where they branch."""
        gate = self.at(0.0, -1.05, 0)
        inner = self.at(0.0, -0.5, 0)
        layers = []
        for tissue, trunk, lift in (("cava", trunks.cava, 5), ("artery", trunks.aorta, 0)):
            z = np.clip(gate[0] - rng.uniform(0, 15), *trunk.points[[0, -1], 0])
            start = np.array([np.interp(z, trunk.points[:, 0], trunk.points[:, i]) for i in range(3)])
            start[0] = z
            middle = (start + gate) / 2 + (rng.normal(0, 4), -6 - lift, 0)
            size = rng.uniform(4.2, 6.0) if tissue == "cava" else rng.uniform(2.2, 3.4)
            layers.append(Layer(Tube(refine([start, middle, gate, inner], 3), size), tissue))
            for u in (-0.4, 0.35):
                tip = self.at(u, -0.3, rng.uniform(-0.25, 0.25))
                layers.append(Layer(Tube([gate, (inner + gate) / 2, tip], [size, size * 0.6, size * 0.4]), tissue))
        return layers

    def cysts(self, rng):
        """Simple and dense cysts in or on the kidney; they count as kidney."""
        layers = []
        for _ in range(rng.poisson(0.9)):
            radius = float(np.clip(6 * np.exp(rng.normal(0, 0.6)), 2, 32))
            direction = rng.normal(0, 1, 3) + (0, 0.5, 0)
            direction /= np.linalg.norm(direction)
            centre = self.at(*(direction * rng.uniform(0.6, 1.05)))
            shape = Ellipsoid(centre, radius * rng.uniform(0.85, 1.15, 3))
            tissue = "cyst" if rng.uniform() < 0.85 else "dense_cyst"
            hu = rng.uniform(-2, 18) if tissue == "cyst" else rng.uniform(30, 80)
            if radius > 4:
                layers.append(Layer(Offset(shape, 0.8), "bowel_wall", label=1))
            layers.append(Layer(shape, tissue, hu=hu, label=1))
        return layers


def kidney_axes(rng, side):
    """Random axes: the lower end forward and outward, the hilum facing inward and forward."""
    long_axis = np.array([0.88, rng.normal(-0.36, 0.16), side * rng.normal(0.2, 0.12)])
    long_axis /= np.linalg.norm(long_axis)
    turn = np.deg2rad(rng.normal(35, 13))
    outward = np.array([0.0, np.sin(turn), side * np.cos(turn)])
    outward -= (outward @ long_axis) * long_axis
    outward /= np.linalg.norm(outward)
    return np.stack([long_axis, outward, np.cross(long_axis, outward)]).astype(np.float32)


def kidneys(frame, rng):
    """The patient's kidneys: mostly two, now and then one, a fused pair or a pelvic one.

    Returns:
        (kidneys, isthmus): list of `Kidney`; the shape that joins a horseshoe's, else None.
    """
    kind = rng.choice(["pair", "solitary", "horseshoe", "pelvic"], p=[0.955, 0.02, 0.0125, 0.0125])
    apart = float(np.clip(rng.normal(149, 18), 105, 200)) * (0.5 + 0.5 * frame.half_width / 130)
    level, depth = rng.normal(-7, 18), rng.normal(3, 12)
    back = rng.normal(14, 5)
    if kind == "horseshoe":
        return horseshoe(frame, rng)
    pair = []
    for side in (-1, 1):
        z = side * level / 2 + rng.normal(0, 3)
        centre = np.array([z, back + side * depth / 2, side * apart / 2])
        volume = None if kind != "solitary" else MEDIAN_ML * rng.uniform(1.1, 1.8)
        pair.append(Kidney.draw(rng, side, centre, volume))
    lone = int(rng.integers(2))
    if kind == "solitary":
        pair = [pair[lone]]
    elif kind == "pelvic":
        side = (-1, 1)[lone]
        centre = (rng.uniform(100, 130), rng.uniform(-45, -25), side * rng.uniform(15, 40))
        pair[lone] = Kidney.draw(rng, side, centre, MEDIAN_ML * rng.uniform(0.55, 0.9))
    return pair, None


def horseshoe(frame, rng):
    """Two kidneys whose lower poles turn inward and join in front of the aorta."""
    pair = []
    for side in (-1, 1):
        long_axis = np.array([0.85, -0.35, -side * 0.38])
        long_axis /= np.linalg.norm(long_axis)
        outward = np.array([0.3, 0.45, side * 0.85])
        outward -= (outward @ long_axis) * long_axis
        outward /= np.linalg.norm(outward)
        axes = np.stack([long_axis, outward, np.cross(long_axis, outward)]).astype(np.float32)
        pair.append(Kidney.draw(rng, side, (rng.normal(15, 5), 0, side * rng.uniform(52, 60)), tilt=axes))
    ends = [k.at(0.8, 0, 0) for k in pair]
    middle = np.mean(ends, axis=0)
    middle[1] = -48
    points = refine([pair[0].at(0.6, 0, 0), ends[0], middle, ends[1], pair[1].at(0.6, 0, 0)], 4)
    bridge = Tube(points, rng.uniform(11, 15), reach_mm=25.0)
    return pair, Rough(bridge, Field.noise(rng, bridge.bounds, 15), 1.2)


def perirenal_fat(kidneys_and_tumors, frame, rng):
    """The fat between the kidneys and other organs, thick in stout patients and all but gone in lean ones."""
    return fat_around(Union(*(Rough(k, Field.noise(rng, k.bounds, 30), 3.0) for k in kidneys_and_tumors)), frame, rng)


def fat_around(shape, frame, rng):
    """Layers of the fat around a shape, within a thin fascia."""
    margin = rng.uniform(-1.5, 3) + rng.uniform(3, 9) * frame.visceral
    inside = Offset(frame.cavity, -1)
    layers = []
    if rng.uniform() < 0.7:
        layers.append(Layer(Intersection(Offset(shape, margin + rng.uniform(0.6, 1.6)), inside), "fascia"))
    layers.append(Layer(Intersection(Offset(shape, margin), inside), "fat", hu=rng.uniform(-108, -90)))
    return layers
