"""Geometry of stage 1: slabs, halves, body box and resampling, on NumPy and TensorFlow alike."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from kits_tf import geometry
from kits_tf.arrays import NumPy, tensorflow
from kits_tf.config import PLANES, preset


def test_scale_maps_the_window_to_zero_and_one(xp):
    hu = np.array([-3000, -1024, 0, 2125, 30000], np.int16)
    expected = [0, 0, 1024 / 3149, 1, 1]
    np.testing.assert_allclose(geometry.scale(xp, hu), expected, atol=1e-7)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 1)])
@pytest.mark.parametrize("plane", PLANES)
def test_slabs_hold_the_neighbours_and_repeat_the_ends(xp, plane, shape):
    volume = np.random.default_rng(0).integers(0, 1000, shape)
    view = np.moveaxis(volume, geometry.AXIS[plane], 0)
    slabs = np.asarray(geometry.slabs(xp, volume, plane, np.arange(len(view), dtype=np.int32)))
    padded = np.pad(view, ((1, 1), (0, 0), (0, 0)), "edge")
    np.testing.assert_array_equal(slabs, np.stack([padded[:-2], padded[1:-1], padded[2:]], axis=-1))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 4))
def test_halves_give_every_voxel_once(slices, rows, columns, overlap):
    shape = (slices, rows, columns)
    for plane in PLANES:
        count = np.zeros(shape, int)
        for half in geometry.halves(NumPy, plane, shape, overlap):
            view = np.moveaxis(count, geometry.AXIS[plane], 0)
            view[slice(*half.indices), :, slice(*half.kept)] += 1
            assert half.columns[0] <= half.kept[0] and half.kept[1] <= half.columns[1]
        assert (count == 1).all()


def test_halves_split_at_the_middle_and_overlap_reaches_beyond():
    right, left = geometry.halves(NumPy, "coronal", (4, 5, 11), overlap=2)
    assert right == ((0, 5), (0, 7), (0, 5))
    assert left == ((0, 5), (3, 11), (5, 11))
    right, left = geometry.halves(NumPy, "sagittal", (4, 5, 11))
    assert (right.indices, left.indices) == ((0, 5), (5, 11))


def elliptic_body(pixel_mm, slices=21):
    """An elliptic body of 300 x 220 mm in the middle of 560 x 500 mm: HU, and its box."""
    rows, columns = round(500 / pixel_mm), round(560 / pixel_mm)
    y, x = (np.indices((rows, columns)) + 0.5) * pixel_mm - np.array([200, 280])[:, None, None]
    body = (x / 150) ** 2 + (y / 110) ** 2 < 1
    hu = np.where(body, 40, -1000).astype(np.int16)
    box = tuple((int(i.min()), int(i.max()) + 1) for i in np.nonzero(body))
    return np.repeat(hu[None], slices, axis=0), box, x, y


@pytest.mark.parametrize("pixel_mm", [0.7, 1.5, 3.0])
@pytest.mark.parametrize("gap_mm", [0, 10, 30])
@pytest.mark.parametrize("bend_mm", [0, 60])
def test_the_body_box_leaves_the_table_out(pixel_mm, gap_mm, bend_mm):
    """A plate of 6 mm under the back, plain or with rising sides; where it touches, what is nearly as thick counts."""
    hu, box, x, y = elliptic_body(pixel_mm)
    depth_mm = y - (110 + gap_mm - bend_mm * (x / 220) ** 2)
    hu[:, (np.abs(x) < 220) & (depth_mm > 0) & (depth_mm < 6)] = 200
    hu[::3, 2:4] = 50  # a tube in some slices
    found = geometry.body_box(hu, (3.0, pixel_mm, pixel_mm))
    np.testing.assert_allclose(found, box, atol=1 if gap_mm else 7 / pixel_mm)


def test_the_body_box_keeps_what_few_slices_show():
    """A belly in two of 21 slices, and a hole of gas in all."""
    hu, box, x, y = elliptic_body(1.5)
    hu[:2, (np.abs(x) < 60) & (y < 0) & (y > -140)] = 40
    hu[:, np.hypot(x + 60, y) < 40] = -900
    found = geometry.body_box(hu, (3.0, 1.5, 1.5))
    np.testing.assert_allclose(found, ((box[0][0] - 20, box[0][1]), box[1]), atol=1)


def test_the_body_box_is_the_whole_image_where_no_body_is():
    assert geometry.body_box(np.full((2, 5, 6), -1000, np.int16), (1.0, 1.0, 1.0)) == ((0, 5), (0, 6))
    assert geometry.body_box(np.full((2, 5, 6), 40, np.int16), (1.0, 30.0, 0.5)) == ((0, 5), (0, 6))


def test_padding_goes_to_the_next_multiple_and_is_air(xp):
    padded = np.asarray(geometry.pad_to_multiple(xp, np.ones((1, 17, 32, 3), np.float32), 16, (1, 2)))
    assert padded.shape == (1, 32, 32, 3)
    assert padded[:, :17].all() and not padded[:, 17:].any()


@given(st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None)
def test_resizing_keeps_constants_and_inner_lines(source, target):
    matrix = geometry.resizing(NumPy, source, target)
    np.testing.assert_allclose(geometry.resizing(tensorflow(), source, target), matrix, atol=1e-6)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    positions = (np.arange(target) + 0.5) * source / target - 0.5
    reach = max(source / target - 1, 0) / 2 + 1
    inner = (positions >= reach) & (positions <= source - 1 - reach)
    np.testing.assert_allclose((matrix @ np.arange(source))[inner], positions[inner], atol=1e-4)


def test_resizing_by_three_averages_as_by_hand():
    """Position 4, the mean of the linear interpolant from 3 to 5."""
    np.testing.assert_allclose(geometry.resizing(NumPy, 9, 3)[1], [0, 0, 0, 1 / 4, 1 / 2, 1 / 4, 0, 0, 0], atol=1e-6)


def test_working_size_covers_the_length(xp):
    assert int(geometry.working_size(xp, 330, 0.78, 2.0)) == 129  # 257.4 mm
    assert int(geometry.working_size(xp, 1, 0.5, 2.0)) == 1


def test_resize_is_a_matrix_product_on_each_axis(xp):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    matrices = [(rng.random((new, old)) * (rng.random((new, old)) < 0.6)).astype(np.float32)
                for new, old in zip((5, 2, 3), x.shape, strict=True)]  # fmt: skip
    expected = np.einsum("as,br,cl,srl->abc", *matrices, x)
    np.testing.assert_allclose(np.asarray(geometry.resize(xp, x, *matrices)), expected, atol=1e-5)


def test_resizing_to_the_same_size_changes_nothing(xp):
    np.testing.assert_array_equal(np.asarray(geometry.resizing(xp, 37, 37)), np.eye(37))


def test_each_axis_follows_its_own_option():
    config = dataclasses.replace(preset("small", "kidney", "axial"), inplane_mm=2.0, slice_mm=3.0)
    assert geometry.working_shape((100, 512, 256), (1.5, 0.8, 0.7), config) == (50, 205, 90)
    no_slices = dataclasses.replace(config, slice_mm=0.0)
    assert geometry.working_shape((100, 512, 256), (1.5, 0.8, 0.7), no_slices) == (100, 205, 90)
    native = dataclasses.replace(no_slices, inplane_mm=0.0)
    assert geometry.working_shape((100, 512, 256), (1.5, 0.8, 0.7), native) == (100, 512, 256)
    assert geometry.is_native(native) and not geometry.is_native(no_slices)


def centres(old, new):
    """Where the voxels of a new axis lie on the old one that covers the same length."""
    return (np.arange(new) + 0.5) * old / new - 0.5


def test_magnifying_is_linear_interpolation():
    volume = np.random.default_rng(4).normal(size=(37, 30, 22)).astype(np.float32)
    shape = (53, 45, 31)
    where = np.meshgrid(*map(centres, volume.shape, shape), indexing="ij")
    expected = ndimage.map_coordinates(volume, where, order=1, mode="nearest")
    np.testing.assert_allclose(geometry.resized(volume, shape), expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(20, 11, 9), (53, 45, 31)])
def test_resized_around_a_box_equals_that_part_of_the_whole_to_the_bit(shape):
    volume = np.random.default_rng(4).normal(size=(37, 30, 22)).astype(np.float32)
    inside = (slice(3, 34), slice(10, 12), slice(0, 5))
    whole = geometry.resized(volume, shape)
    found = np.full(shape, np.nan, np.float32)
    for index, values in geometry.resized_chunks(volume, shape, inside=inside):
        assert np.isnan(found[index]).all()
        found[index] = values
    computed = ~np.isnan(found)
    np.testing.assert_array_equal(found[computed], whole[computed])
    volume[inside] += 1
    np.testing.assert_array_equal(computed, computed | (geometry.resized(volume, shape) != whole))
    assert computed.mean() < 0.5


@pytest.mark.parametrize("shape", [(20, 11, 9), (53, 11, 9), (37, 45, 31)])
def test_a_linear_ramp_stays_one_away_from_the_ends(shape):
    old = (37, 30, 22)
    ramp, expected = (
        np.tensordot((1.0, -2.0, 0.5), np.meshgrid(*axes, indexing="ij"), 1)
        for axes in (map(np.arange, old), map(centres, old, shape))
    )
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(geometry.resized(ramp, shape)[inner], expected[inner], atol=1e-4)


def test_metal_is_clipped_before_it_is_resized():
    volume = np.zeros((2, 6, 6), np.int16)
    volume[:, 2, 2] = 30_000
    assert geometry.resized(volume, (2, 3, 3), geometry.clipped).max() <= geometry.HU_MAX
