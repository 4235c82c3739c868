"""Maps are checked, brought to the working axes and refined without steps."""

import numpy as np
import pytest

from kits_tf.errors import InputError
from kits_tf.simulation.anatomy import check_ct, read_legend, read_organs
from kits_tf.simulation.anatomy.organ_map import UNLABELLED, build_map, refine
from kits_tf.simulation.anatomy.refining import DEPTH_STEP_MM
from kits_tf.simulation.anatomy.structures import INDEX
from tests.simulation.anatomy import small_person


@pytest.mark.parametrize("axes", ["RAS", "IPL", "LPS"])
def test_any_orientation_gives_the_working_axes(tmp_path, axes):
    paths = small_person.write(tmp_path, axes=axes)
    structures, spacing_mm = read_organs(paths["map"], read_legend(paths["legend"]))
    assert spacing_mm == (3.0, 3.0, 3.0)
    expected = small_person.organs()
    np.testing.assert_array_equal(structures == INDEX["kidney_right"], expected == 2)
    np.testing.assert_array_equal(structures == INDEX["other"], expected == 7)
    np.testing.assert_array_equal(structures == UNLABELLED, expected == 0)


def test_a_kidney_without_a_side_is_the_side_it_lies_on(tmp_path):
    legend = {str(k): "kidney" if k in (2, 3) else name for k, name in small_person.LEGEND.items()}
    paths = small_person.write(tmp_path, legend=legend)
    structures, _ = read_organs(paths["map"], read_legend(paths["legend"]))
    np.testing.assert_array_equal(structures == INDEX["kidney_left"], small_person.organs() == 3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda labels: labels * 0, "no labels"),
        (lambda labels: labels + 90 * (labels == 7), "label 97"),
        (lambda labels: labels * (labels != 2) * (labels != 3), "no kidney"),
        (lambda labels: labels + np.float32(0.5) * (labels == 7), "whole numbers"),
    ],
)
def test_bad_maps_are_refused(tmp_path, change, reason):
    paths = small_person.write(tmp_path, change(small_person.organs()).astype(np.float32))
    with pytest.raises(InputError, match=reason):
        read_organs(paths["map"], read_legend(paths["legend"]))


def test_a_ct_of_another_grid_is_refused(tmp_path):
    paths = small_person.write(tmp_path)
    structures, spacing_mm = read_organs(paths["map"], read_legend(paths["legend"]))
    check_ct((structures, spacing_mm), paths["ct"])
    for other in ((structures[1:], spacing_mm), (structures, (3.0, 3.0, 2.0))):
        with pytest.raises(InputError, match="another grid"):
            check_ct(other, paths["ct"])


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
    surface = fine.depths[edge] * DEPTH_STEP_MM
    assert np.abs(surface).max() < 2.5
    deepest = fine.depths[tuple(np.rint(centre).astype(int))] * DEPTH_STEP_MM
    assert deepest == pytest.approx(15, abs=2)  # a cone's tip, rounded off


def test_the_unlabelled_body_is_split_with_and_without_a_ct(tmp_path):
    paths = small_person.write(tmp_path)
    legend = read_legend(paths["legend"])
    for ct in (None, paths["ct"]):
        fine = build_map(paths["map"], legend, ct)
        assert {INDEX["fat"], INDEX["soft"], INDEX["air"]} <= set(np.unique(fine.structures))
        assert UNLABELLED not in fine.structures
        assert (fine.structures[:, 0] == INDEX["air"]).all()
        assert fine.depths[fine.structures == INDEX["air"]].max() <= 2
        assert fine.kidneys_mm["kidney_right"][2] < 0 < fine.kidneys_mm["kidney_left"][2]
        at = np.rint((fine.kidneys_mm["kidney_left"] - fine.low_mm) / fine.spacing_mm).astype(int)
        assert fine.structures[tuple(at)] == INDEX["kidney_left"]
