"""Maps are refined without steps, and what has no label is split with and without a CT."""

import numpy as np
import pytest

from kits_tf.simulation.organ_map import Anatomy, load
from kits_tf.simulation.refinement import AROUND_MM, DEPTH_STEP_MM, UNLABELLED, refine, split_by_hu
from kits_tf.simulation.structures import INDEX
from tests.simulation import small_person


def test_a_refined_ball_is_round_and_keeps_its_volume():
    z, y, x = np.indices((20, 20, 20))
    ball = (z - 9.5) ** 2 + (y - 9.5) ** 2 + (x - 9.5) ** 2 < 36  # a radius of 18 mm
    structures = np.where(ball, INDEX["kidney_right"], UNLABELLED).astype(np.uint8)
    fine = refine(structures, (3.0, 3.0, 3.0))
    own = fine.structures == INDEX["kidney_right"]
    assert own.sum() * fine.spacing_mm.prod() == pytest.approx(ball.sum() * 27, rel=0.06)
    centre = np.argwhere(own).mean(axis=0)
    edge = own & ~np.logical_and.reduce([np.roll(own, s, a) for a in range(3) for s in (-1, 1)])
    radii = np.linalg.norm((np.argwhere(edge) - centre) * fine.spacing_mm, axis=1)
    # Repeating each voxel would leave steps of 3 mm, whose edge lies within 0.9 mm (standard deviation).
    assert radii.std() < 0.6
    assert np.abs(fine.depths[edge] * DEPTH_STEP_MM).max() < 2.5
    deepest = fine.depths[tuple(np.rint(centre).astype(int))] * DEPTH_STEP_MM
    assert deepest == pytest.approx(15, abs=2)  # a cone's tip, rounded off


@pytest.mark.parametrize("with_ct", [False, True])
def test_the_unlabelled_body_is_split(tmp_path, with_ct):
    paths = small_person.write(tmp_path)
    fine = load(Anatomy(paths["map"], paths["legend"], paths["ct"] if with_ct else None))
    assert {INDEX["fat"], INDEX["soft"], INDEX["air"]} <= set(np.unique(fine.structures))
    assert UNLABELLED not in fine.structures
    assert (fine.structures[:, 0] == INDEX["air"]).all()
    assert fine.depths[fine.structures == INDEX["air"]].max() <= 2
    assert fine.kidneys_mm["kidney_right"][2] < 0 < fine.kidneys_mm["kidney_left"][2]
    at = np.rint((fine.kidneys_mm["kidney_left"] - fine.low_mm) / fine.spacing_mm).astype(int)
    assert fine.structures[tuple(at)] == INDEX["kidney_left"]


def test_the_body_of_a_map_without_a_ct_is_convex_and_has_discs_between_its_vertebrae():
    structures = np.full((12, 40, 60), UNLABELLED, np.uint8)
    structures[:, 5:9, 28:32] = INDEX["liver"]
    structures[:, 25:35, 8:12] = INDEX["kidney_right"]
    structures[:, 25:35, 48:52] = INDEX["kidney_left"]
    structures[:5, 28:36, 27:33] = structures[7:, 28:36, 27:33] = INDEX["bone"]
    fine = refine(structures, (3.0, 3.0, 3.0))

    def structure(*at_mm):
        at = np.add(at_mm, (0, AROUND_MM, AROUND_MM)) / fine.spacing_mm
        return fine.structures[tuple(np.rint(at).astype(int))]

    assert structure(16.5, 96, 90) == INDEX["soft"]  # a gap of two slices between bones
    assert structure(16.5, 70, 60) == INDEX["fat"]  # within the triangle of the three organs
    assert structure(16.5, 90, 160) == INDEX["soft"]  # beside a kidney, the wall
    assert structure(16.5, 5, 5) == INDEX["air"]


def test_a_map_split_beforehand_is_the_map_with_its_ct():
    """As the bundled map of a trunk is."""
    organs = small_person.organs()
    structures = np.full(organs.shape, UNLABELLED, np.uint8)
    for label, name in ((2, "kidney_right"), (3, "kidney_left"), (4, "bone")):
        structures[organs == label] = INDEX[name]
    split, spacing_mm = structures.copy(), (3.0, 3.0, 3.0)
    split_by_hu(split, small_person.hu(), spacing_mm)
    np.testing.assert_array_equal(split[structures != UNLABELLED], structures[structures != UNLABELLED])
    assert (split[small_person.hu() == -1000] == INDEX["air"]).all()
    before, after = refine(split, spacing_mm), refine(structures, spacing_mm, small_person.hu())
    assert (before.structures != after.structures).mean() < 1e-3
    assert (before.depths != after.depths).mean() < 1e-3
