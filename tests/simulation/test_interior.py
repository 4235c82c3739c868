"""Organs have insides: pyramids beneath the cortex, vessels, contents; missing organs leave fat."""

import numpy as np
import pytest

from kits_tf.simulation.appearance import Appearance
from kits_tf.simulation.canvas import Canvas
from kits_tf.simulation.fields import Field, Grid, random_generator
from kits_tf.simulation.interior import Interior
from kits_tf.simulation.refinement import DEPTH_STEP_MM
from kits_tf.simulation.structures import INDEX

SHAPE, BOUNDS = (30, 30, 30), (np.full(3, -60.0), np.full(3, 60.0))


def painted(name, depth_mm, phase="corticomedullary", change=None, y_mm=-30.0):
    """Paint a box of one structure of even depth; return the HU added to its mean, patient and interior."""
    interior, look = Interior(random_generator(0), BOUNDS), Appearance(random_generator(0), phase)
    interior.loops = interior.ascites = False
    interior.missing = []
    if change:
        change(interior)
    grid = Grid.regular(SHAPE, (2.0, 2.0, 2.0), (-30.0, y_mm, -30.0))
    textures = [Field.noise(random_generator(1), BOUNDS, grain) for grain in (22, 4.5)]
    canvas = Canvas(grid, tuple(textures), 2.0, -1000.0)
    structures = np.full(SHAPE, INDEX[name], np.uint8)
    depths = np.full(SHAPE, int(depth_mm / DEPTH_STEP_MM), np.int8)
    hu = look.means[structures]
    interior.paint(hu, structures, depths, canvas, look)
    return hu - look.mean(name), look, interior


def test_pyramids_lie_beneath_the_cortex_with_columns_of_it_between():
    shallow, look, _ = painted("kidney_right", 2.0)
    np.testing.assert_array_equal(shallow, 0)
    deep, look, interior = painted("kidney_right", 14.0, change=lambda interior: setattr(interior, "calyces_above", 9))
    assert deep.min() == pytest.approx(look.medulla - look.cortex, abs=1e-3)
    assert (deep < 0.9 * deep.min()).mean() > 0.2 and (deep > 0.1 * deep.min()).mean() > 0.1


def test_vessels_are_as_bright_as_blood_and_thin():
    vessels, look, _ = painted("liver", 30.0)
    assert set(np.unique(vessels)) == {0, np.float32(look.mean("portal")) - np.float32(look.mean("liver"))}
    assert 0 < (vessels != 0).mean() < 0.1


def test_fat_has_vessels_only_deep_within_the_body():
    assert not painted("fat", 5.0)[0].any()
    assert painted("fat", 50.0)[0].any()


@pytest.mark.parametrize(("option", "threshold"), [("loops", None), ("ascites", -9.0)])
def test_bowel_and_fluid_fill_the_fat_in_front_of_the_kidneys(option, threshold):
    def change(interior):
        setattr(interior, option, True)
        interior.vessel_width = 0
        interior.ascites_above = threshold

    front, look, interior = painted("fat", 50.0, change=change, y_mm=-80.0)
    behind, *_ = painted("fat", 50.0, change=change, y_mm=10.0)
    assert not behind.any()
    if option == "ascites":
        np.testing.assert_allclose(front, look.ascites - look.mean("fat"), atol=1e-3)
    else:
        assert 0.01 < (front != 0).mean() < 0.5


def test_a_missing_organ_leaves_fat_however_thin_the_patient():
    interior = Interior(random_generator(0), BOUNDS)
    interior.missing, interior.surface_mm = ["spleen", "kidney_left"], 10.0
    structures = np.array([[[INDEX["spleen"], INDEX["kidney_left"], INDEX["kidney_right"], INDEX["fat"]]]], np.uint8)
    interior.apply(structures, np.full(structures.shape, 4, np.int8))
    assert structures.tolist() == [[[INDEX["fat"], INDEX["fat"], INDEX["kidney_right"], INDEX["air"]]]]
