"""The great vessels and their branches, with calcium in old walls."""

import numpy as np

from kits_tf.simulation.phantom.bowel import refine
from kits_tf.simulation.phantom.layers import Layer
from kits_tf.simulation.phantom.shapes import Ellipsoid, Tube


class Trunks:
    """Aorta and inferior vena cava: where branches start from.

    Attributes:
        aorta, cava: shapes.
    """

    def __init__(self, frame, rng):
        self.frame = frame
        self.aorta_radius = rng.uniform(8.5, 12.5)
        self.cava_radius = rng.uniform(9, 12.5)
        z = np.array([-430.0, -250, -150, -80, -40, 0, 40, 72])
        y, x = frame.spine_centre(z)
        front = np.array([-8.0, -10, -20, -26, -28, -29, -29, -29])
        self.aorta = Tube(
            np.column_stack([z, y + front, x + np.array([24.0, 20, 12, 8, 8, 8, 6, 3]) + rng.normal(0, 1.5, 8)]),
            self.aorta_radius * np.linspace(1.15, 0.9, 8),
        )
        z = np.array([-130.0, -90, -50, 0, 40, 82])
        y, x = frame.spine_centre(z)
        self.cava = Tube(
            np.column_stack([z, y - np.array([40.0, 36, 30, 27, 26, 26]), x - np.array([22.0, 24, 24, 22, 20, 14])]),
            self.cava_radius * np.array([1.25, 1.1, 1.05, 1.0, 0.9, 0.9]),
            flatten=1.25,
        )

    def layers(self, rng):
        """Trunks, iliacs, the vessels of the mesentery and calcium."""
        layers = [Layer(self.cava, "cava"), Layer(self.aorta, "artery")]
        s = self.frame.scale
        for side in (-1, 1):
            course = [(72, -33, 3), (105, -24, 26), (150, -12, 48), (200, -30, 62), (270, -75, 72)]
            points = refine(np.array(course) * (s, 1, side), 3)
            layers.append(Layer(Tube(points + (6, 9, side * 2), rng.uniform(5.5, 7.5)), "cava"))
            layers.append(Layer(Tube(points, rng.uniform(4.5, 6.5)), "artery"))
        layers += self.visceral(rng) + self.calcium(rng)
        return layers

    def visceral(self, rng):
        """Arteries and veins of the gut, the portal and splenic veins, strands in the mesentery's fat."""
        place = self.frame.path
        layers = [
            Layer(Tube(refine(place([(-22, -38, 8), (0, -55, 6), (50, -62, 2), (110, -60, -15)]), 3), 3.6), "artery"),
            Layer(Tube(refine(place([(-10, -58, -6), (40, -60, -10), (110, -62, -25)]), 3), 4.6), "portal"),
            Layer(Tube(refine(place([(-10, -58, -6), (-35, -48, -26), (-55, -42, -48)]), 3), 6.5), "portal"),
            Layer(Tube(refine(place([(-12, -56, -4), (-22, -42, 35), (-35, -12, 80)]), 3), 4.2), "portal"),
            Layer(Tube(refine(place([(-42, -38, 8), (-48, -58, 4), (-45, -52, -30)]), 3), 3.0), "artery"),
        ]
        for _ in range(26):
            start = place([(rng.uniform(0, 140), rng.uniform(-75, -45), rng.uniform(-40, 40))])[0]
            points = start + np.cumsum(rng.normal(0, 10, (4, 3)), axis=0)
            layers.append(Layer(Tube(points, rng.uniform(0.9, 2.0)), rng.choice(["artery", "portal"])))
        return layers

    def calcium(self, rng):
        """Plaques in the aorta's wall, in two patients of five."""
        layers = []
        if rng.uniform() < 0.4:
            for _ in range(rng.integers(2, 12)):
                i = rng.integers(3, 8)
                angle = rng.uniform(0, 2 * np.pi)
                edge = self.aorta.radii[i] * np.array([0, np.cos(angle), np.sin(angle)])
                centre = self.aorta.points[i] + edge + (rng.uniform(-15, 15), 0, 0)
                layers.append(Layer(Ellipsoid(centre, rng.uniform(1.2, 3.5, 3)), "calcium"))
        return layers
