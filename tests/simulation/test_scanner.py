"""Protocols are drawn like KiTS19's scans, within what was asked for; noise has its strength and grain."""

import numpy as np
import pytest

from kits_tf.simulation.fields import random_generator
from kits_tf.simulation.scanner import Protocol, Scanner


def test_protocols_are_drawn_like_kits19():
    protocols = [Protocol.draw(random_generator(9, case), 2000.0) for case in range(400)]
    slices = np.array([protocol.shape[0] for protocol in protocols])
    slice_mm, _, pixel_mm = np.array([protocol.spacing_mm for protocol in protocols]).T
    assert slices.min() >= 16 and slices.max() <= 1059
    assert 85 < np.median(slices) < 130
    assert np.median(slice_mm) == 3.0 and slice_mm.min() == 0.5 and slice_mm.max() == 10.0
    assert pixel_mm.min() >= 0.43 and pixel_mm.max() <= 1.041
    assert np.median(pixel_mm) == pytest.approx(0.782, abs=0.03)
    assert np.mean((slices * slice_mm > 140) & (slices * slice_mm < 760)) > 0.97


def test_given_ranges_are_kept_and_a_smaller_size_keeps_the_field_of_view():
    for case in range(20):
        protocol = Protocol.draw(random_generator(3, case), 400.0, 256, 64, (1.4, 1.7), (3.0, 5.0))
        assert 1.4 <= protocol.spacing_mm[2] <= 1.7 and 3.0 <= protocol.spacing_mm[0] <= 5.0
        assert protocol.shape == (64, 256, 256)
        full, small = (Protocol.draw(random_generator(3, case), 400.0, size) for size in (512, 64))
        assert small.spacing_mm[1] * 64 == pytest.approx(full.spacing_mm[1] * 512, rel=1e-4)


def test_protocols_end_where_the_map_does():
    for case in range(40):
        rng = random_generator(5, case)
        free = Protocol.draw(rng, 120.0)
        assert free.shape[0] * free.spacing_mm[0] <= 120 or free.shape[0] == 16
        assert Protocol.draw(rng, 120.0, slices=60).spacing_mm[0] <= 2.0
        given = Protocol.draw(rng, 120.0, slices=60, slice_spacing_mm=(4.0, 4.0))
        assert given.shape[0] * given.spacing_mm[0] == 240  # as asked for


def test_whole_kidneys_lie_within_the_slices():
    protocol = Protocol((51, 64, 64), (4.0, 1.0, 1.0), 0.0, 0.0)  # 200 mm, all of it below the kidneys' middle
    assert protocol.first_slice_mm((-60.0, 40.0)) == -66.0
    assert protocol.first_slice_mm((-120.0, 100.0)) == -10.0  # too long to be whole


@pytest.mark.parametrize(("cut", "expected_mm"), [(0.3, (-10.0, 190.0)), (-0.3, (-170.0, 30.0))])
def test_a_share_of_the_kidneys_is_cut_off(cut, expected_mm):
    """Kidneys of 100 mm from -40 on, in 200 mm."""
    first = Protocol((51, 64, 64), (4.0, 1.0, 1.0), 0.5, cut).first_slice_mm((-40.0, 60.0))
    assert (first, first + 200) == pytest.approx(expected_mm)


def test_kidneys_are_cut_as_often_as_they_should_be():
    cuts = np.array([Protocol.draw(random_generator(4, case), 400.0).cut_share for case in range(400)])
    assert np.mean(cuts != 0) == pytest.approx(0.15, abs=0.05)
    assert cuts.min() < -0.5 and cuts.max() > 0.5


@pytest.mark.parametrize("turn", [0.0, np.pi / 2])
def test_streaks_are_straight_and_have_their_strength(turn):
    scanner = Scanner((3.0, 0.8, 0.8), 3.0, 0.0, 1e-3, 0.3, 10.0, turn, False, 3071, (0,))
    hu = scanner.acquire(np.zeros((30, 64, 64), np.float32), 0, (32, 32)).astype(float)
    along = 2 if turn == 0 else 1
    assert np.abs(np.diff(hu[:, 28:36, 28:36], axis=along)).max() <= 1
    assert hu[:, 30:34, 30:34].std() == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("size", [128, 127])
def test_noise_has_its_strength_and_grain(size):
    scanner = Scanner((3.0, 0.8, 0.8), 3.0, 0.0, 20.0, 0.3, 0.0, 0.0, False, 3071, (1, 2))
    hu = scanner.acquire(np.zeros((20, size, size), np.float32), 0, (size / 2, size / 2)).astype(float)
    middle = hu[:, size // 2 - 8 : size // 2 + 8, size // 2 - 8 : size // 2 + 8]
    assert middle.std() == pytest.approx(20, rel=0.08)
    assert hu[:, :8, :8].std() < 0.95 * middle.std()  # towards the edge, rays lose fewer photons
    assert abs(np.corrcoef(hu[0].ravel(), hu[1].ravel())[0, 1]) < 0.05  # slices are independent
    assert np.corrcoef(hu[:, :, :-1].ravel(), hu[:, :, 1:].ravel())[0, 1] > 0.3  # neighbouring pixels are not
    np.testing.assert_array_equal(scanner.acquire(np.zeros((1, size, size), np.float32), 7, (size / 2,) * 2)[0], hu[7])


def test_a_circular_field_of_view_is_air_outside_and_hu_are_clipped():
    scanner = Scanner((3.0, 0.8, 0.8), 3.0, 0.5, 1.0, 0.3, 0.0, 0.0, True, 1500, (0,))
    hu = scanner.acquire(np.full((1, 32, 32), 9000, np.float32), 0, (16, 16))
    assert hu.dtype == np.int16 and hu[0, 0, 0] == -1024 and hu[0, 16, 16] == 1500
    assert (hu[0] == 1500).mean() == pytest.approx(np.pi / 4, abs=0.02)
