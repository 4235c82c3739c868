"""Simulated CTs are repeatable, of KiTS19's form, with tissues at their HU and kidneys and tumors of its sizes."""

import functools

import numpy as np
import pytest

from experiments.phantom_suites import TEST, TRAINING
from kits_tf.simulation.phantom import PHASES, simulate, simulation
from kits_tf.simulation.phantom.materials import TISSUE_INDEX, Materials, hu_range, mixed_rng
from kits_tf.simulation.phantom.protocol import Protocol
from kits_tf.simulation.phantom.shapes import volume_ml
from kits_tf.simulation.phantom.tumors import KINDS, LARGEST_ML, SMALLEST_ML, counts


@functools.cache
def drawn(case, phase="nephrographic"):
    """The patient and scan of a small case."""
    return simulation.draw_case(11, case, 80, 36, (phase,), None, (5.0, 5.0))


@functools.cache
def rendered(case):
    """(hu, labels, tissues) of a small case."""
    parts = drawn(case)
    scan = (parts.layers, parts.materials, parts.scanner, parts.shape, parts.origin_mm, parts.key)
    return simulation.render(*scan, with_tissues=True)


def test_the_form_of_a_case():
    hu, labels, spacing_mm, affine = simulate(1, 0, size=48, slices=7)
    assert hu.shape == labels.shape == (7, 48, 48)
    assert (hu.dtype, labels.dtype) == (np.int16, np.uint8)
    assert hu.min() >= -1024
    assert set(np.unique(labels)) <= {0, 1, 2}
    # KiTS19's axes: slices run to inferior, rows to posterior, columns to the left.
    expected = np.zeros((4, 4))
    expected[2, 0], expected[1, 1], expected[0, 2], expected[3, 3] = *(-np.array(spacing_mm)), 1
    np.testing.assert_array_equal(affine, expected)
    # The field of view of 512 columns of KiTS19's pixels is kept.
    assert 0.438 * 512 - 1 <= spacing_mm[2] * 48 <= 1.041 * 512 + 1


def test_a_case_depends_on_seed_and_number_alone():
    first = simulate(5, 3, size=32, slices=5)
    simulate(5, 2, size=32, slices=3)
    again = simulate(5, 3, size=32, slices=5)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    other_case, other_seed = simulate(5, 4, size=32, slices=5), simulate(6, 3, size=32, slices=5)
    assert (first[0] != other_case[0]).any() and (first[0] != other_seed[0]).any()


def test_chunks_do_not_show(monkeypatch):
    parts = drawn(0)
    arguments = (parts.layers, parts.materials, parts.scanner, (9, 80, 80), parts.origin_mm, parts.key)
    whole = simulation.render(*arguments)
    monkeypatch.setattr(simulation, "CHUNK_VOXELS", 4 * 80 * 80)
    pieces = simulation.render(*arguments)
    np.testing.assert_array_equal(whole[1], pieces[1])
    assert np.abs(whole[0].astype(int) - pieces[0]).max() <= 1  # rounding of sums in another order


def test_tissues_have_their_hu():
    hu, _, tissues = rendered(0)
    parts = drawn(0)
    for name, tolerance in (("cortex", 25), ("liver", 12), ("muscle", 20), ("fat", 15), ("air", 15)):
        values = hu[tissues == TISSUE_INDEX[name]]
        assert len(values) > 100
        if name != "fat":  # fat has a value of its own in each place
            assert np.median(values) == pytest.approx(parts.materials.hu[name], abs=tolerance), name
        else:
            assert -120 < np.median(values) < -80


def test_all_that_a_ct_shows_is_there():
    _, _, tissues = rendered(0)
    wanted = ("skin", "fat", "muscle", "liver", "spleen", "spongy_bone", "cortical_bone", "artery", "cava", "cortex",
              "medulla", "urine", "bowel_wall", "gas", "table_core", "disc", "stranded_fat")  # fmt: skip
    present = set(np.unique(tissues))
    assert [name for name in wanted if TISSUE_INDEX[name] not in present] == []


def test_kidneys_lie_beside_the_spine_behind_the_middle():
    for case in (0, 1):
        _, labels, tissues = rendered(case)
        kidney = np.argwhere(labels > 0)
        body = np.argwhere(tissues != 0)
        assert kidney[:, 1].mean() > body[:, 1].mean()
        spine_column = np.median(np.argwhere(tissues == TISSUE_INDEX["canal"])[:, 2])
        right, left = kidney[:, 2] < spine_column, kidney[:, 2] > spine_column
        assert 0.1 < right.mean() < 0.9 and 0.1 < left.mean() < 0.9


def test_labelled_voxels_are_the_kidneys_tissues():
    _, labels, tissues = rendered(0)
    names = {name: TISSUE_INDEX[name] for name in TISSUE_INDEX}
    inside = tissues[labels == 1]
    parenchyma = np.isin(inside, [names["cortex"], names["medulla"]]).mean()
    assert parenchyma > 0.75
    assert np.isin(tissues[labels == 2], [names[k] for k in KINDS] + [names["necrosis"], names["calcium"]]).all()


def test_kidneys_have_the_volume_they_were_drawn_for():
    from kits_tf.simulation.phantom.kidneys import Kidney

    for seed, volume in ((0, 120.0), (1, 210.0), (2, 330.0)):
        kidney = Kidney.draw(mixed_rng(seed), 1, (0, 10, 70), volume)
        assert volume_ml(kidney.solid, 1.5) == pytest.approx(volume, rel=0.08)


def test_tumors_have_sizes_places_and_numbers_like_the_real_ones():
    totals = [sum(counts(mixed_rng(7, i), 2)) for i in range(400)]
    assert 0.02 < np.mean(np.array(totals) == 0) < 0.08
    assert 0.85 < np.mean(np.array(totals) == 1) < 0.95
    both = [min(counts(mixed_rng(8, i), 2)) > 0 for i in range(400)]
    assert 0.005 < np.mean(both) < 0.06
    assert (SMALLEST_ML, LARGEST_ML) == (0.8, 1000.0)


def test_protocols_are_drawn_like_kits19():
    drawn_protocols = [Protocol.draw(mixed_rng(9, i)) for i in range(400)]
    slices = np.array([p.shape[0] for p in drawn_protocols])
    slice_mm = np.array([p.spacing_mm[0] for p in drawn_protocols])
    pixel_mm = np.array([p.spacing_mm[2] for p in drawn_protocols])
    assert slices.min() >= 29 and slices.max() <= 1059
    assert 85 < np.median(slices) < 130
    assert np.median(slice_mm) == 3.0 and slice_mm.min() == 0.5 and slice_mm.max() == 5.0
    assert pixel_mm.min() >= 0.438 and pixel_mm.max() <= 1.041
    assert np.median(pixel_mm) == pytest.approx(0.782, abs=0.03)
    assert np.mean((slices * slice_mm > 140) & (slices * slice_mm < 760)) > 0.97


def test_materials_stay_in_their_ranges():
    for phase in PHASES:
        for seed in range(30):
            for name, hu in Materials(mixed_rng(seed), phase).hu.items():
                low, high = hu_range(name, phase)
                assert low <= hu <= high


def test_kidney_and_liver_overlap_in_hu():
    for phase in PHASES:
        low, high = hu_range("cortex", phase)
        others = [hu_range(name, phase) for name in ("liver", "spleen", "cava", "portal")]
        assert any(a < high and low < b for a, b in others)


def test_noise_has_its_strength_and_grain():
    parts = drawn(0)
    scanner = parts.scanner
    rows = columns = 128
    filters = scanner.grain_filter(rows, columns)
    noise = np.stack([scanner.noise(i, rows, columns, filters) for i in range(20)])
    expected = np.sqrt(1 + (scanner.streaks_hu / scanner.noise_hu) ** 2 * 0.28)  # a Gaussian of 1 row keeps 0.28
    assert noise.std() == pytest.approx(expected, rel=0.05)
    # Blue noise: neighbouring slices are independent.
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_suites_are_disjoint_in_two_factors_and_more():
    assert not set(TRAINING.phases) & set(TEST.phases)
    for name in ("pixel_spacing_mm", "slice_spacing_mm"):
        (a, b), (c, d) = getattr(TRAINING, name), getattr(TEST, name)
        assert b < c or d < a
    assert TRAINING.seed != TEST.seed


def test_given_ranges_are_kept():
    for case in range(20):
        protocol = Protocol.draw(mixed_rng(3, case), 256, 64, (1.4, 1.7), (3.0, 5.0))
        assert 1.4 <= protocol.spacing_mm[2] <= 1.7 and 3.0 <= protocol.spacing_mm[0] <= 5.0
        assert protocol.shape == (64, 256, 256)
