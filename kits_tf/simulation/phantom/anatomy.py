"""A random patient: every solid in painting order."""

import numpy as np

from kits_tf.simulation.phantom import bowel, kidneys, organs, torso, tumors
from kits_tf.simulation.phantom.frame import BOTTOM_MM, TOP_MM, Frame
from kits_tf.simulation.phantom.layers import Layer, Patient
from kits_tf.simulation.phantom.vessels import Trunks


def draw_patient(rng, materials, body_half_width):
    """A random patient whose trunk is about `body_half_width` mm wide to each side.

    Returns:
        A `Patient`.
    """
    frame = Frame.draw(rng, body_half_width)
    trunks = Trunks(frame, rng)
    pair, isthmus = kidneys.kidneys(frame, rng)
    masses = tumors.tumors(frame, pair, trunks, rng)
    solids = [k.bean for k in pair] + [t.shape for t in masses] + ([isthmus] if isthmus else [])
    layers = surroundings(frame, trunks, rng, kidneys.perirenal_fat(solids, frame, rng))
    for kidney in pair:
        layers += kidney.layers(frame, materials, rng, trunks)
    if isthmus:
        layers.append(Layer(isthmus, "cortex", label=1))
    for kidney in pair:
        layers += kidney.cysts(rng)
    for mass in masses:
        layers += tumors.layers(mass, materials, rng)
    ends = np.array([[s.bounds[0][0], s.bounds[1][0]] for s in solids])
    return Patient(layers, frame, (TOP_MM, BOTTOM_MM), (ends[:, 0].min(), ends[:, 1].max()))


def surroundings(frame, trunks, rng, around_kidneys):
    """Everything but the kidneys; `around_kidneys` are painted over the organs, under muscle, bone and vessels."""
    layers = torso.table(frame, rng) + torso.covering(frame, rng) + torso.chest(frame, rng)
    layers += organs.organs(frame, rng) + bowel.bowel(frame, rng)
    layers += around_kidneys
    layers += torso.back_muscles(frame, rng) + torso.bones(frame, rng) + trunks.layers(rng)
    return layers
