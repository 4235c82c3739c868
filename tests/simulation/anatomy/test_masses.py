"""Masses lie at the kidneys, have their sizes and labels, and those elsewhere are no kidney."""

import numpy as np
import pytest

from kits_tf.simulation.anatomy import masses
from kits_tf.simulation.phantom.materials import PHASES, Materials, mixed_rng
from kits_tf.simulation.phantom.shapes import volume_ml


@pytest.fixture
def surfaces():
    """Two kidneys, balls of 30 mm."""
    directions = mixed_rng(0).normal(size=(300, 3))
    directions *= 30 / np.linalg.norm(directions, axis=1, keepdims=True)
    return [(centre, centre + directions) for centre in (np.array([0.0, 0, -70]), np.array([0.0, 0, 70]))]


def test_tumors_lie_at_the_kidneys(surfaces):
    found = [mass for seed in range(60) for mass in masses.draw_tumors(mixed_rng(seed), surfaces)]
    assert len(found) > 30
    for mass in found:
        distance = min(np.linalg.norm(mass.centre - middle) for middle, _ in surfaces)
        assert 30 - mass.radius <= distance + 1e-6 <= 30 + mass.radius + 1e-5


def test_no_kidney_has_no_masses():
    for seed in range(20):
        rng = mixed_rng(seed)
        assert masses.draw_tumors(rng, []) == masses.cyst_layers(rng, []) == masses.stone_layers(rng, [], 500) == []


def test_a_lump_has_about_the_volume_of_its_ball():
    volumes = [volume_ml(masses.lump(mixed_rng(s), masses.Mass(np.zeros(3), 20.0), 0.02), 1.5) for s in range(12)]
    assert np.median(volumes) == pytest.approx(4 / 3 * np.pi * 8, rel=0.15)


def test_labels_of_layers(surfaces):
    rng = mixed_rng(3)
    materials = Materials(mixed_rng(0), PHASES[1])
    tumor = masses.tumor_layers(rng, [masses.Mass(np.zeros(3), 15.0)], materials)
    assert tumor[0].label == 2 and all(layer.label in (2, None) for layer in tumor)
    cysts = [layer for seed in range(20) for layer in masses.cyst_layers(mixed_rng(seed), surfaces)]
    assert cysts and all(layer.label == 1 for layer in cysts)
    points = np.zeros((4, 3))
    others = [layer for seed in range(20) for layer in masses.elsewhere_layers(mixed_rng(seed), points, True)]
    assert others and all(layer.label is None and layer.within == (0,) for layer in others)
