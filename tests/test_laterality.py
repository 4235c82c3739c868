"""Laterality by components on planted boxes: specks, pelvic and horseshoe kidneys, ties; components by chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as shapes
from scipy import ndimage

from kits_tf import laterality
from kits_tf.boxes import bounding_box
from kits_tf.config import preset
from kits_tf.data import kits19
from kits_tf.io import volume
from kits_tf.laterality import Components, config_of_sides, kidney_sides, kidneys, with_context

SPACING_MM = (10.0, 5.0, 5.0)  # 0.25 ml a voxel: 8 voxels are 2 ml


def planted(*boxes, shape=(6, 12, 21)):
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[tuple(slice(*bounds) for bounds in box)] = True
    return mask


def test_components_go_whole_to_the_side_of_their_centroid():
    mask = planted(((0, 2), (2, 6), (2, 6)), ((3, 5), (2, 6), (9, 20)))  # the second reaches 1 of 11 columns across
    sides = kidney_sides(mask, SPACING_MM, middle=10)
    assert set(np.unique(sides[:2][mask[:2]])) == {1}
    assert set(np.unique(sides[3:][mask[3:]])) == {2}
    assert ((sides > 0) == mask).all()


def test_context_is_what_lies_close_inside_the_volume_but_for_the_other_kidney():
    sides = np.zeros((6, 12, 21), np.uint8)
    sides[0:2, 4:8, 6:10] = 1
    sides[0:2, 4:8, 11:15] = 2
    kidney, seen = with_context(sides, kidneys(sides)[0], (10.0, 5.0, 5.0), 13.0)
    assert kidney.box == (slice(0, 3), slice(1, 11), slice(3, 13))
    expected = ndimage.binary_dilation(sides == 1, np.ones((3, 7, 7))) & (sides != 2)
    np.testing.assert_array_equal(seen, expected[kidney.box])


def test_without_context_only_the_kidney_is_seen():
    sides = kidney_sides(planted(((0, 2), (2, 6), (2, 6))), SPACING_MM, middle=10)
    kidney, seen = with_context(sides, *kidneys(sides), SPACING_MM, 0.0)
    assert kidney == kidneys(sides)[0] and seen.all()


def test_two_components_on_one_side_are_one_kidney():
    mask = planted(((0, 2), (2, 6), (1, 4)), ((3, 5), (2, 6), (5, 8)))
    found = kidneys(kidney_sides(mask, SPACING_MM, middle=10))
    assert [kidney.side for kidney in found] == [1]
    assert found[0].box == (slice(0, 5), slice(2, 6), slice(1, 8))


@pytest.mark.parametrize("voxels, least_ml, kept", [(7, 2.0, 0), (8, 2.0, 8), (1, 0.0, 1), (7, 1.75, 7), (7, 1.8, 0)])
def test_specks_under_a_volume_are_dropped_and_that_volume_stays(voxels, least_ml, kept):
    mask = planted(((0, 1), (0, 1), (0, voxels)))
    assert np.count_nonzero(kidney_sides(mask, SPACING_MM, 10, min_ml=least_ml)) == kept


def test_without_a_config_two_ml_are_asked_for():
    assert not kidney_sides(planted(((0, 1), (0, 1), (0, 7))), SPACING_MM, 10).any()
    assert kidney_sides(planted(((0, 1), (0, 1), (0, 8))), SPACING_MM, 10).sum() == 8


def test_a_fifth_on_the_other_side_is_no_horseshoe():
    mask = planted(((1, 3), (4, 8), (8, 18)))  # exactly 20 % on the right
    assert set(np.unique(kidney_sides(mask, SPACING_MM, middle=10))) == {0, 2}


def test_a_tie_goes_to_the_first_voxel():
    mask = planted(((0, 4), (0, 4), (10, 11)))  # centroid at column 10, its centre at 10.5
    assert kidney_sides(mask, SPACING_MM, middle=10).max() == 2
    assert kidney_sides(mask, SPACING_MM, middle=10.5).max() == 1


def test_diagonal_neighbours_are_apart():
    mask = planted(((0, 1), (0, 1), (0, 5)), ((1, 2), (1, 2), (0, 5)))
    assert not kidney_sides(mask, SPACING_MM, 10).any()  # two components of 1.25 ml


SPLEEN = ((0, 4), (2, 6), (70, 80))  # 40 ml, with its centroid 175 mm to the left
WIDE = (6, 12, 81)


def chosen(*boxes, unsure=(), least=0.5):
    """Which boxes the rule keeps, with planes that do not agree on some boxes."""
    mask = planted(*boxes, shape=WIDE)
    sides = kidney_sides(mask, SPACING_MM, 40, 2.0, least, mask & ~planted(*unsure, shape=WIDE))
    return [bool(sides[tuple(slice(*bounds) for bounds in box)].all()) for box in boxes]


def test_a_false_piece_three_times_as_large_does_not_replace_the_kidney():
    """Planes do not agree on it; where they do, both stay."""
    near = ((0, 4), (2, 6), (19, 23)), ((0, 4), (2, 6), (25, 37))
    assert chosen(*near, unsure=near[1:]) == [True, False]
    assert chosen(*near) == [True, True]
    assert chosen(*near, unsure=near[1:], least=0.0) == [True, True]


def test_what_lies_far_beside_the_middle_gives_way_to_a_smaller_piece_near_it():
    kidney = ((0, 4), (2, 6), (48, 54))  # 24 ml
    assert chosen(kidney, SPLEEN) == [True, False]
    assert chosen(SPLEEN) == [True]  # alone, as a transplant or a kidney beside a tilted body may be


def test_a_kidney_in_pieces_keeps_them_and_the_only_one_of_a_side_stays():
    """However small a piece is, and however little planes agree on a side's only piece."""
    parts = ((0, 2), (2, 6), (45, 51)), ((4, 5), (2, 4), (45, 49))
    lone = ((0, 4), (2, 6), (25, 37))
    assert chosen(*parts, lone, unsure=[lone]) == [True, True, True]


def test_half_agreed_is_enough_and_less_is_not():
    kidney, piece = ((0, 4), (2, 6), (45, 51)), ((4, 6), (8, 12), (45, 49))  # the piece has 32 voxels
    for slices, kept in (((4, 5), True), ((4, 6), False)):
        assert chosen(kidney, piece, unsure=[(slices, *piece[1:])])[1] == kept


def test_a_horseshoe_kidney_stays_if_it_is_the_likeliest_of_one_side():
    horseshoe, beside = ((1, 2), (4, 8), (32, 50)), ((4, 6), (2, 10), (20, 35))
    assert chosen(horseshoe, beside, unsure=[((1, 2), (4, 8), (35, 50))]) == [True, True]


@given(st.integers(0, 2**31), st.floats(0.0, 0.7), st.integers(0, 11), st.sampled_from([0.0, 0.5, 1.0]))
@settings(deadline=None, max_examples=150)
def test_of_what_was_kept_nothing_is_dropped_again(seed, density, middle, least):
    """So masks that come from labels are taken as they are, and stages apart give what both give together."""
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 9, 11)) < density
    sides = kidney_sides(mask, SPACING_MM, middle, 0.0, least, rng.random(mask.shape) < 0.5)
    np.testing.assert_array_equal(kidney_sides(sides > 0, SPACING_MM, middle, 0.0, least), sides)


def test_the_tumor_networks_config_says_how_sides_are_told_and_without_it_the_bodys():
    whole, body = preset("paper", "kidney", "axial"), preset("best", "kidney", "coronal")
    tumor = preset("paper", "tumor")
    assert config_of_sides({"kidney_axial": whole, "kidney_coronal": body, "tumor": tumor}) is tumor
    for configs in ({"a": whole, "b": body}, {"b": body, "a": whole}):
        assert config_of_sides(configs) is body


def test_an_empty_mask_has_no_kidney():
    assert kidneys(kidney_sides(planted(), SPACING_MM, 10)) == [] and bounding_box(planted()) is None


@pytest.mark.shared
@pytest.mark.parametrize("number", [5, 40, 151, 165, 207], ids=str)
def test_no_real_kidney_is_dropped(shared_data, number):
    """Solitary kidneys, one that reaches over the middle beside another, and the labels with the largest speck."""
    labels, grid = volume.read_labels(shared_data / "kits19_masks" / kits19.case_name(number) / kits19.LABEL_NAME)
    middle = labels.shape[2] // 2
    least = preset("best", "tumor").min_agreement
    expected = kidney_sides(labels > 0, grid.spacing_mm, middle)
    assert least > 0 and expected.any()
    np.testing.assert_array_equal(kidney_sides(labels > 0, grid.spacing_mm, middle, min_agreement=least), expected)


@pytest.mark.parametrize("chunk_voxels", [1, 60, 10**9])
@given(shapes.arrays(bool, shapes.array_shapes(min_dims=3, max_dims=3, max_side=7)))
@settings(deadline=None, max_examples=60)
def test_components_are_those_of_scipy(chunk_voxels, mask):
    expected, count = ndimage.label(mask)
    found = np.full(mask.shape, -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laterality, "CHUNK_VOXELS", chunk_voxels)
        components = Components(mask)
    for chunk, voxels, component in components:
        found[chunk].ravel()[voxels] = component
    np.testing.assert_array_equal(found >= 0, mask)
    pairs = set(zip(found[mask].tolist(), expected[mask].tolist(), strict=True))
    assert components.count == len(pairs) == len({ours for ours, _ in pairs}) == count
