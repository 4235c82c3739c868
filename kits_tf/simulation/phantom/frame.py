"""A patient's build: how wide, deep and tall the trunk is and how its walls and spine run.

Patient mm are (z, y, x) = (inferior, posterior, left) of the centre of the vertebral body between the kidneys.
"""

import dataclasses

import numpy as np

from kits_tf.simulation.phantom.fields import Field
from kits_tf.simulation.phantom.shapes import Cached, Column, Rough, smooth_interpolation

TOP_MM, BOTTOM_MM = -440.0, 380.0  # what of the trunk can be scanned: upper chest to below the hips

# Shape of the trunk along z, as shares of the size at the kidneys: chest, diaphragm, kidneys, waist, pelvis, hips.
KNOTS_MM = np.array([-420.0, -250.0, -120.0, 0.0, 90.0, 170.0, 240.0, 360.0])
WIDTHS = np.array([1.0, 1.06, 1.06, 1.0, 0.96, 1.03, 1.06, 1.0])
DEPTHS = np.array([0.85, 1.0, 1.05, 1.0, 0.98, 0.95, 0.9, 0.8])


@dataclasses.dataclass
class Frame:
    """The trunk that everything else is placed in.

    Attributes:
        scale: length of organs over the average.
        half_width, anterior, posterior: half axes of the abdominal cavity at the kidneys, mm, from `centre_y`.
        centre_y: y of the cavity's middle.
        wall_mm: thickness of the muscle wall.
        fat_mm: thickness of the fat under the skin (sides, front, back).
        visceral: 0 lean to 1 much fat between the organs.
        level_mm: period of the vertebrae.
        body, wall, cavity: the surfaces, shapes.
        cavity_column: the smooth `Column` under `cavity`.
    """

    scale: float
    half_width: float
    anterior: float
    posterior: float
    centre_y: float
    wall_mm: float
    fat_mm: tuple
    visceral: float
    level_mm: float
    scoliosis_mm: float
    body: object = None
    wall: object = None
    cavity: object = None
    cavity_column: object = None

    @classmethod
    def draw(cls, rng, body_half_width):
        """A random build whose outer half width is about `body_half_width` mm (140 lean to 230 obese)."""
        stout = np.clip((body_half_width - 135) / 80, 0, 1.3)
        half_width = 112 + 32 * stout + rng.normal(0, 4)
        wall = rng.uniform(8, 15)
        side_fat = max(body_half_width - half_width - wall, 5.0)
        return cls(
            scale=float(np.clip(rng.normal(1, 0.06), 0.85, 1.15)),
            half_width=half_width,
            anterior=rng.uniform(62, 80) + 38 * stout,
            posterior=rng.uniform(98, 106) + 6 * stout,
            centre_y=-35.0,
            wall_mm=wall,
            fat_mm=(side_fat, side_fat * rng.uniform(0.5, 1.1) + 3, side_fat * rng.uniform(0.4, 0.9) + 6),
            visceral=float(np.clip(0.55 * stout + rng.uniform(-0.1, 0.45), 0, 1)),
            level_mm=rng.uniform(32, 37),
            scoliosis_mm=rng.normal(0, 3),
        ).surfaces(rng)

    def surfaces(self, rng):
        """Makes the surfaces of the sizes."""
        count = len(KNOTS_MM)
        centre = np.column_stack([np.full(count, self.centre_y), np.zeros(count)])
        cavity = Column(
            KNOTS_MM,
            self.half_width * WIDTHS,
            self.anterior * DEPTHS,
            self.posterior * (0.4 + 0.6 * DEPTHS),
            centre,
            exponent=(2.15, 2.7),
        )
        wall = cavity.grown(self.wall_mm)
        sides, front, back = self.fat_mm
        hips = np.interp(KNOTS_MM, [-250, 0, 100, 200], [0.6, 1.0, 1.2, 1.5])
        body = Column(
            KNOTS_MM,
            wall.profiles[0] + sides * hips,
            wall.profiles[1] + front * np.minimum(hips, 1.1),
            wall.profiles[2] + back * hips,
            centre,
            exponent=(2.1, 2.6),
        )
        low, high = np.array([TOP_MM, -260.0, -260.0]), np.array([BOTTOM_MM, 200.0, 260.0])
        swell = Field.noise(rng, (low, high), 70)
        self.cavity_column = cavity
        self.cavity = Cached(Rough(cavity, swell, 2.5))
        self.wall = Rough(wall, swell, 2.5)
        self.body = Cached(Rough(body, Field.noise(rng, (low, high), 90), 3.0))
        return self

    def spine_centre(self, z):
        """(y, x) in mm of the vertebral bodies' centre at z: kyphosis, lordosis, some scoliosis."""
        knots = np.array([-420.0, -180.0, 0.0, 80.0, 140.0, 250.0])
        y = smooth_interpolation(z, knots, np.array([22.0, 14.0, 0.0, -5.0, 6.0, 50.0]))
        return y, self.scoliosis_mm * np.sin(np.asarray(z) / 90.0)

    def on_cavity(self, z, angle, beyond_mm=0.0):
        """The point `beyond_mm` outside the cavity's surface at `z`, at `angle` from the back towards the left."""
        half_width, anterior, posterior, cy, cx = (float(v[0]) for v in self.cavity_column.at(np.array([z])))
        deep = posterior if np.cos(angle) > 0 else anterior
        n = self.cavity_column.exponent[int(np.cos(angle) > 0)]
        reach = (abs(np.cos(angle) / deep) ** n + abs(np.sin(angle) / half_width) ** n) ** (-1 / n) + beyond_mm
        return np.array([z, cy + reach * np.cos(angle), cx + reach * np.sin(angle)])

    def place(self, z, y, x):
        """A point given for an average patient, in this one: x and y follow the cavity, z the scale."""
        depth = self.anterior / 85 if y < self.centre_y else 1.0
        return np.array([z * self.scale, self.centre_y + (y - self.centre_y) * depth, x * self.half_width / 130])

    def path(self, points):
        """`place` for each point, float [count, 3]."""
        return np.array([self.place(*p) for p in points])
