"""What is in the field of view beside the trunk: the table and, in some scans, the arms."""

import numpy as np

from kits_tf.simulation.phantom.layers import Layer
from kits_tf.simulation.phantom.shapes import Offset, Tube
from kits_tf.simulation.phantom.torso import table_top


def table_layers(rng, back_mm):
    """The table under a body whose back lies at y = `back_mm`; none in one scan of ten."""
    return table_top(rng, back_mm + rng.uniform(0, 10)) if rng.uniform() < 0.9 else []


def arm_layers(rng, body):
    """Arms beside the body, in one scan of seven.

    Args:
        rng: a NumPy generator.
        body: (low, high) mm of the box around it, (z, y, x).
    """
    layers = []
    if rng.uniform() > 0.14:
        return layers
    (top, front, right), (bottom, back, left) = body
    for side, edge in ((-1, right), (1, left)):
        radius = rng.uniform(28, 45)
        y = rng.uniform(0.4, 0.8) * (back - front) + front
        x = edge + side * (radius + rng.uniform(0, 15))
        course = np.array([[top - 20, y, x], [bottom + 20, y + rng.normal(0, 15), x + rng.normal(0, 10)]])
        arm = Tube(course, [radius, radius * rng.uniform(0.6, 0.9)], reach_mm=30)
        bone = Tube(course, rng.uniform(8, 12))
        fat_mm = rng.uniform(3, 12)
        layers += [Layer(arm, "fat"), Layer(Offset(arm, -fat_mm), "muscle")]
        layers += [Layer(bone, "cortical_bone"), Layer(Offset(bone, -3), "spongy_bone")]
    return layers
