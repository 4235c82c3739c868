"""Lesions lie at the kidneys, have their sizes and labels, and those elsewhere are no kidney's."""

import numpy as np
import pytest

from kits_tf.simulation import lesions
from kits_tf.simulation.appearance import Appearance
from kits_tf.simulation.fields import random_generator
from tests.simulation.test_shapes import volume_ml


@pytest.fixture
def surfaces():
    """Two kidneys, balls of 30 mm."""
    directions = random_generator(0).normal(size=(300, 3))
    directions *= 30 / np.linalg.norm(directions, axis=1, keepdims=True)
    return [(centre, centre + directions) for centre in (np.array([0.0, 0, -70]), np.array([0.0, 0, 70]))]


@pytest.fixture
def look():
    return Appearance(random_generator(0), "nephrographic")


def test_tumors_lie_at_the_kidneys_in_the_numbers_and_sizes_drawn(surfaces):
    drawn = [lesions.draw_tumors(random_generator(seed), surfaces) for seed in range(300)]
    shares = np.bincount([len(masses) for masses in drawn], minlength=4) / 300
    np.testing.assert_allclose(shares, (0.25, 0.6, 0.1, 0.05), atol=0.09)
    masses = [mass for found in drawn for mass in found]
    for mass in masses:
        distance = min(np.linalg.norm(mass.centre - middle) for middle, _ in surfaces)
        assert 30 - mass.radius <= distance + 1e-6 <= 30 + mass.radius + 1e-5
    volumes = [4 / 3 * np.pi * mass.radius**3 / 1000 for mass in masses]
    assert np.median(volumes) == pytest.approx(21, rel=0.3)
    assert min(volumes) > 0.79 and max(volumes) < 351


def test_no_kidney_has_no_lesions(look):
    for seed in range(20):
        rng = random_generator(seed)
        drawn = lesions.draw_tumors(rng, []), lesions.cyst_layers(rng, []), lesions.stone_layers(rng, [], look)
        assert not any(drawn)


def test_a_lump_has_about_the_volume_of_its_ball():
    mass = lesions.Mass(np.zeros(3), 20.0)
    volumes = [volume_ml(lesions.lump(random_generator(seed), mass, 0.02), 1.5) for seed in range(12)]
    assert np.median(volumes) == pytest.approx(4 / 3 * np.pi * 8, rel=0.15)


def test_labels_of_layers(surfaces, look):
    for seed in range(10):
        tumor = lesions.tumor_layers(random_generator(seed), lesions.Mass(np.zeros(3), 15.0), look)
        assert tumor[0].label == 2 and all(layer.label is None for layer in tumor[1:])
    cysts = [layer for seed in range(20) for layer in lesions.cyst_layers(random_generator(seed), surfaces)]
    assert {layer.label for layer in cysts} == {1}
    stones = [layer for seed in range(20) for layer in lesions.stone_layers(random_generator(seed), surfaces, look)]
    assert stones and all((layer.label, layer.hu) == (None, look.calculus) for layer in stones)
    points = np.zeros((4, 3))
    others = [layer for seed in range(20) for layer in lesions.elsewhere_layers(random_generator(seed), points, look)]
    assert others and all(layer.label is None and layer.only_background for layer in others)
