"""Laterality by components on planted boxes: specks, pelvic and horseshoe kidneys, ties; components by chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as shapes
from scipy import ndimage

from kits_tf import laterality
from kits_tf.config import preset
from kits_tf.data import kits19
from kits_tf.io import volume
from kits_tf.laterality import Components, bounding_box, config_of_sides, kidney_sides, kidneys

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


def test_what_is_small_beside_the_largest_of_its_side_is_dropped_and_the_share_itself_stays():
    """24 voxels (6 ml) on the right beside 12 and 11; 12 alone on the left."""
    mask = planted(
        ((0, 1), (0, 4), (0, 6)), ((2, 3), (0, 4), (0, 3)), ((4, 5), (0, 1), (0, 9)), ((0, 1), (0, 4), (15, 18))
    )
    sides = kidney_sides(mask, SPACING_MM, 10, min_share=0.5)
    assert (sides[mask] > 0).sum() == 24 + 12 + 12 and not sides[4].any()
    assert (kidney_sides(mask, SPACING_MM, 10) > 0).sum() == mask.sum()
    assert (kidney_sides(mask, SPACING_MM, 10, min_share=1.0) > 0).sum() == 24 + 12


def test_a_horseshoe_kidney_is_measured_whole_against_the_side_where_less_is_asked():
    """56 voxels, 24 of them on the right, beside 216 there; another 27 on the left are small beside the 56 alone."""
    mask = planted(((1, 2), (4, 8), (4, 18)), ((4, 6), (0, 12), (0, 9)), ((3, 4), (0, 3), (12, 21)))
    sides = kidney_sides(mask, SPACING_MM, 10, min_share=0.5)
    assert (sides[1, 4:8, 4:10] == 1).all() and (sides[1, 4:8, 10:18] == 2).all()
    assert (sides[4:6, :, :9] == 1).all() and not sides[3].any()


@given(st.integers(0, 2**31), st.floats(0.0, 0.7), st.integers(0, 11), st.sampled_from([0.0, 0.2, 0.33, 0.9, 1.0]))
@settings(deadline=None, max_examples=150)
def test_of_what_was_kept_nothing_is_dropped_again(seed, density, middle, share):
    """So masks that come from labels are taken as they are, and stages apart give what both give together."""
    mask = np.random.default_rng(seed).random((7, 9, 11)) < density
    sides = kidney_sides(mask, SPACING_MM, middle, share)
    np.testing.assert_array_equal(kidney_sides(sides > 0, SPACING_MM, middle, share), sides)


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
def test_no_real_kidney_is_small_beside_another_of_its_side(shared_data, number):
    """Solitary kidneys, one that reaches over the middle beside another, and the labels with the largest speck."""
    labels, grid = volume.read_labels(shared_data / "kits19_masks" / kits19.case_name(number) / kits19.LABEL_NAME)
    middle = labels.shape[2] // 2
    share = preset("best", "tumor").min_component_share
    expected = kidney_sides(labels > 0, grid.spacing_mm, middle)
    assert share > 0 and expected.any()
    np.testing.assert_array_equal(kidney_sides(labels > 0, grid.spacing_mm, middle, share), expected)


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
