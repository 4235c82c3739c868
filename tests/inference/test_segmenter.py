"""Prove the segmenter's calls: progress, cancelling, threads, regions of interest, probabilities, odd anatomy."""

import concurrent.futures
import dataclasses
import threading
import warnings

import numpy as np
import pytest

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES, SYSTEM_OPTIONS, preset
from kits_tf.errors import CancelledError, UsageError
from kits_tf.inference.fusion import UNIT
from kits_tf.inference.segmenter import Segmenter, load_segmenter
from tests.identity import IdentityEngine
from tests.tiny import write_checkpoint

BIG_MM = (13.0, 13.0, 13.0)  # voxels that are no specks


def segmenter(planes=PLANES, fusion="union", **options):
    """Identity networks: kidney where the scaled HU is above one half, and all of it tumor."""
    configs = {f"kidney_{plane}": dataclasses.replace(preset("paper", "kidney", plane), **options) for plane in planes}
    tumor = {name: value for name, value in options.items() if name in SYSTEM_OPTIONS}
    configs["tumor"] = dataclasses.replace(preset("paper", "tumor"), grid=0, **tumor)
    return Segmenter(IdentityEngine(), configs, fusion)


def ct(*boxes, shape=(12, 40, 50)):
    hu = np.full(shape, -1024, np.int16)
    for box in boxes:
        hu[tuple(slice(*bounds) for bounds in box)] = 2125
    return hu


RIGHT_BOX, LEFT_BOX = ((2, 9), (10, 20), (5, 15)), ((3, 10), (12, 22), (33, 44))


@pytest.mark.parametrize(
    "options, spacing_mm",
    [({}, BIG_MM), *(({"slice_mm": 3.0, "inplane_mm": 4.0}, mm) for mm in ((10.0, 2.0, 2.0), (1.0, 2.0, 2.0)))],
)
def test_progress_rises_to_one(options, spacing_mm):
    """Also on a working grid, where slabs are more, or fewer, than the CT has slices."""
    shares = []
    segmenter(**options).segment(ct(RIGHT_BOX, LEFT_BOX), spacing_mm, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 6


def test_a_mask_is_asked_for_where_no_network_finds_kidneys():
    with pytest.raises(ValueError, match="kidney mask"):
        segmenter(planes=()).segment(ct(RIGHT_BOX), BIG_MM)


def test_cancelling_gives_up_within_a_batch():
    cancel, calls = threading.Event(), []

    def progress(share):
        calls.append(share)
        cancel.set()

    with pytest.raises(CancelledError):
        segmenter().segment(ct(RIGHT_BOX), BIG_MM, progress=progress, cancel=cancel)
    assert len(calls) == 1


def test_a_segmenter_made_before_a_fork_raises_at_once():
    one = segmenter()
    one._process += 1
    with pytest.raises(RuntimeError, match="fork"):
        one.segment(ct(RIGHT_BOX), BIG_MM)


def test_several_threads_get_what_one_gets():
    one = segmenter()
    cts = [np.random.default_rng(seed).integers(-1024, 2126, (9, 33, 40), dtype=np.int16) for seed in range(6)]
    expected = [one.segment(hu, BIG_MM) for hu in cts]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda hu: one.segment(hu, BIG_MM), cts))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_region_of_interest_keeps_what_lies_in_it():
    hu = ct(RIGHT_BOX, LEFT_BOX)
    roi = (slice(4, 11), slice(0, 18), slice(8, None))
    found = segmenter().run(hu, BIG_MM, roi=roi)
    expected = np.zeros(hu.shape, np.uint8)
    expected[roi] = 2 * (hu[roi] > 0)
    np.testing.assert_array_equal(found.labels, expected)
    assert set(np.unique(found.sides)) == {0, 1, 2}


def test_a_region_of_interest_may_count_from_the_end_and_in_numpys_numbers():
    hu = ct(RIGHT_BOX, LEFT_BOX)
    plain = segmenter().run(hu, BIG_MM, roi=(slice(4, 11), slice(0, 18), slice(8, None))).labels
    same = (slice(np.int64(4), -1, 1), slice(None, np.uint8(18)), slice(8, 99))
    np.testing.assert_array_equal(segmenter().run(hu, BIG_MM, roi=same).labels, plain)


@pytest.mark.parametrize("dtype", (np.int32, np.float16, np.float32, np.float64, np.longdouble))
def test_every_type_of_numbers_is_taken(dtype):
    hu = ct(RIGHT_BOX).astype(dtype)
    far = hu.copy()
    far[hu > 0] = np.finfo(np.float32).max if dtype in (np.float32, np.float64, np.longdouble) else 2125
    for values in (hu, far):
        np.testing.assert_array_equal(segmenter().segment(values, BIG_MM), 2 * (hu > 0))


@pytest.mark.parametrize("fusion", ("union", "majority", "mean"))
def test_probabilities_outside_a_region_of_interest_are_zero(fusion):
    hu = np.random.default_rng(0).integers(-1024, 2126, (9, 33, 40), dtype=np.int16)
    roi = (slice(2, 8), slice(3, 30), slice(0, 31))
    found = segmenter(fusion=fusion).run(hu, BIG_MM, roi=roi, probabilities=True)
    outside = np.ones(hu.shape, bool)
    outside[roi] = False
    for name in ("kidney", "tumor"):
        assert found.probabilities[name].any() and not found.probabilities[name][outside].any()
    expected = geometry.scale(NumPy, hu[roi])
    np.testing.assert_allclose(found.probabilities["kidney"][roi] / UNIT, expected, atol=0.6 / UNIT)


ALL = slice(None)
UNUSABLE = [
    *(("hu", value) for value in (np.zeros((4, 5)), np.zeros((0, 4, 5)), ct() + 0j)),
    *(("hu", np.full((2, 4, 5), value)) for value in (np.nan, -np.inf, 1e300, -1e39)),
    *(("spacing_mm", value) for value in (2.0, None, "wide", (), (1.0, 1.0), (1.0, np.nan, 1.0), (1.0, np.inf, 1.0))),
    *(("spacing_mm", value) for value in ((1e-9,) * 3, (1e9,) * 3, (-1, 1, 1), ((1, 1, 1),), np.eye(4))),
    *(("roi", value) for value in ((1, 2, 3), 5, (), "0:5,:,:", (ALL,) * 2, (slice(0, 9, 2), ALL, ALL))),
    *(("roi", (part, ALL, ALL)) for part in (slice(9, 0, -1), slice(0.5, 3), slice(4, 4))),
    ("roi", (ALL, slice(90, 99), ALL)),
    ("mask", np.zeros((7, 40, 50))),
]


@pytest.mark.parametrize("name, value", UNUSABLE, ids=str)
def test_unusable_arguments_are_named(name, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=f"^{name} "):
            segmenter().run(**{"hu": ct(RIGHT_BOX), "spacing_mm": BIG_MM} | {name: value})


@pytest.mark.parametrize(
    "option, values",
    [
        ("fusion", ["maximum"]),
        ("tta", ["rotate"]),
        ("stage", ["kidneys"]),
        ("planes", ["axal", "", "axial,axial", (), ["axial", "oblique"], None, 3]),
        ("checkpoint_dir", ["", None, 3, b"simulated", [], ["simulated", ""], [None], ["simulated", "simulated"]]),
    ],
)
def test_unusable_options_are_named_before_anything_is_read(option, values):
    for value in values:
        options = {option: value} if option != "checkpoint_dir" else {}
        with pytest.raises(UsageError, match=f"^--{option}: "):
            load_segmenter("/nowhere" if options else value, **options)


def test_planes_may_be_text(tmp_path):
    folder = write_checkpoint(tmp_path)
    for text, names in (("axial", ["kidney_axial"]), ("sagittal, axial", ["kidney_sagittal", "kidney_axial"])):
        assert list(load_segmenter(folder, "tensorflow", text, stage="kidney").configs) == names


@pytest.mark.parametrize("side_mm", geometry.SPACING_MM)
def test_every_spacing_that_is_read_is_taken(side_mm):
    hu = ct(RIGHT_BOX, LEFT_BOX)
    np.testing.assert_array_equal(segmenter().segment(hu, (side_mm, 100.0, 100.0)), 2 * (hu > 0))


@pytest.mark.parametrize("fusion", ("union", "majority", "mean"))
def test_probabilities_are_those_of_the_networks(fusion):
    hu = np.random.default_rng(0).integers(-1024, 2126, (9, 33, 40), dtype=np.int16)
    found = segmenter(fusion=fusion).run(hu, BIG_MM, probabilities=True)
    scaled = geometry.scale(NumPy, hu)
    np.testing.assert_allclose(found.probabilities["kidney"] / UNIT, scaled, atol=0.6 / UNIT)
    np.testing.assert_allclose(found.probabilities["tumor"] / UNIT, scaled * (found.sides > 0), atol=0.6 / UNIT)
    plain = segmenter(fusion=fusion).run(hu, BIG_MM)
    np.testing.assert_array_equal(found.labels, plain.labels)
    assert plain.probabilities == {}


@pytest.mark.parametrize("fusion", ("union", "majority", "mean"))
@pytest.mark.parametrize("planes", [("axial",), ("coronal", "sagittal"), PLANES], ids=str)
@pytest.mark.parametrize("options", [{}, {"overlap": 4, "mirror": True}], ids=str)
def test_every_fusion_of_identity_networks_is_exact(fusion, planes, options):
    hu = np.random.default_rng(1).integers(-1024, 2126, (7, 31, 42), dtype=np.int16)
    found = segmenter(planes, fusion, **options).segment(hu, BIG_MM)
    np.testing.assert_array_equal(found, 2 * (geometry.scale(NumPy, hu) > 0.5).astype(np.uint8))


ANATOMIES = {
    "missing": [],
    "solitary": [RIGHT_BOX],
    "horseshoe": [((3, 8), (10, 20), (8, 44))],
    "pelvic, over the middle": [((9, 12), (10, 20), (22, 40))],
    "at every edge": [((0, 12), (0, 40), (0, 50))],
    "at the first slice": [((0, 1), (10, 20), (5, 15)), ((0, 1), (10, 20), (33, 44))],
    "at the last slice": [((11, 12), (10, 20), (5, 15))],
}
SIDES = {"missing": 0, "solitary": 1, "horseshoe": 2, "pelvic, over the middle": 1, "at every edge": 2,
         "at the first slice": 2, "at the last slice": 1}  # fmt: skip


@pytest.mark.parametrize("name", ANATOMIES)
def test_odd_anatomy(name):
    hu = ct(*ANATOMIES[name])
    found = segmenter().run(hu, BIG_MM)
    np.testing.assert_array_equal(found.labels, 2 * (hu > 0))
    assert len(np.unique(found.sides[found.sides > 0])) == SIDES[name]


def test_a_piece_that_is_small_beside_its_sides_kidney_is_dropped_where_the_config_says_so():
    hu = ct(RIGHT_BOX, ((9, 11), (30, 33), (10, 14)))
    found = segmenter(min_component_share=0.33).segment(hu, BIG_MM)
    np.testing.assert_array_equal(found[:9], 2 * (hu[:9] > 0))
    assert not found[9:].any()
    np.testing.assert_array_equal(segmenter(min_component_share=0.0).segment(hu, BIG_MM), 2 * (hu > 0))


def test_a_given_mask_is_treated_as_stage_ones():
    """A piece that is small beside its kidney is left out; of what is left, nothing."""
    hu = ct(RIGHT_BOX, ((9, 11), (30, 33), (10, 14)))
    one = segmenter(min_component_share=0.33)
    found = one.run(hu, BIG_MM, mask=hu > 0)
    np.testing.assert_array_equal(found.labels, one.segment(hu, BIG_MM))
    assert found.labels[:9].any() and not found.labels[9:].any()
    np.testing.assert_array_equal(one.run(hu, BIG_MM, mask=found.labels).labels, found.labels)


def test_sides_do_not_go_by_the_order_of_networks():
    """Columns 24 to 30 of 50: left of the image's middle, at 25, and right of the body's, at 35."""
    hu = ct(((2, 9), (10, 20), (24, 31)))
    hu[:, 5:25, 20:] = np.maximum(hu[:, 5:25, 20:], 0)  # the body, from column 20 on
    one, sides = segmenter(("axial", "coronal")), []
    for cut in ("kidney_axial", "kidney_coronal"):
        configs = {name: dataclasses.replace(c, body_box=name == cut) for name, c in one.configs.items()}
        del configs["tumor"]
        sides += [Segmenter(IdentityEngine(), configs).run(hu, BIG_MM).sides.max()]
    assert sides == [1, 1]
    for body_box, side in ((False, 2), (True, 1)):
        tumor = dataclasses.replace(one.configs["tumor"], body_box=body_box)
        one.configs["tumor"] = tumor
        assert one.run(hu, BIG_MM).sides.max() == side


@pytest.mark.parametrize("shape", [(1, 20, 24), (2000, 20, 24)], ids=str)
@pytest.mark.parametrize("spacing_mm", [(0.3, 0.3, 0.3), (10.0, 10.0, 10.0), (0.3, 10.0, 10.0)], ids=str)
def test_one_slice_and_two_thousand_at_any_spacing(shape, spacing_mm):
    hu = ct(((0, shape[0]), (4, 16), (2, 9)), ((0, shape[0]), (4, 16), (15, 22)), shape=shape)
    kidneys_alone = segmenter()
    del kidneys_alone.configs["tumor"]
    found = kidneys_alone.segment(hu, spacing_mm)
    kept = 84 * shape[0] * np.prod(spacing_mm) >= 2000  # else it is a speck
    np.testing.assert_array_equal(found, (hu > 0) * kept)


def test_a_cube_beyond_memory_is_refused():
    hu = ct(((0, 2000), (4, 16), (2, 9)), shape=(2000, 20, 24))
    with pytest.raises(ValueError, match="2016x2016x2016 voxels"):
        segmenter().segment(hu, (1.0, 1.0, 1.0))


def test_a_working_grid_beyond_memory_is_refused():
    hu = ct(RIGHT_BOX, shape=(1000, 40, 50))
    with pytest.raises(ValueError, match="working grid of kidney_axial would have 33333x2000x2500 voxels"):
        segmenter(slice_mm=3.0, inplane_mm=2.0).segment(hu, (100.0, 100.0, 100.0))
