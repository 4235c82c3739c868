"""Prove the segmenter's calls: progress, cancelling, threads, regions of interest, probabilities, odd anatomy."""

import concurrent.futures
import dataclasses
import threading

import numpy as np
import pytest

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import FUSIONS, PLANES, SYSTEM_OPTIONS, preset
from kits_tf.errors import CancelledError, UsageError
from kits_tf.inference.fusion import UNIT
from kits_tf.inference.segmenter import Segmenter, load_segmenter
from tests.identity import IdentityEngine

BIG_MM = (13.0, 13.0, 13.0)  # voxels that are no specks
RIGHT_BOX, LEFT_BOX = ((2, 9), (10, 20), (5, 15)), ((3, 10), (12, 22), (33, 44))
ALL = slice(None)


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


def random_ct(seed=0):
    return np.random.default_rng(seed).integers(-1024, 2126, (9, 33, 42), dtype=np.int16)


def test_tumor_beside_the_kidney_belongs_to_its_side_inside_the_region_of_interest():
    """What stage 1 misses of a tumor is found within `context_mm`: here two columns of four."""
    system = segmenter()
    system.configs["tumor"] = dataclasses.replace(system.configs["tumor"], context_mm=2.0 * BIG_MM[0])
    hu = ct(((2, 9), (10, 20), (5, 19)))
    mask = np.zeros(hu.shape, bool)
    mask[2:9, 10:20, 5:15] = True
    found = system.run(hu, BIG_MM, mask=mask, probabilities=True)
    expected = np.zeros(hu.shape, bool)
    expected[2:9, 10:20, 5:17] = True
    np.testing.assert_array_equal(found.labels, 2 * expected)
    np.testing.assert_array_equal(found.sides, expected)
    np.testing.assert_array_equal(found.probabilities["tumor"] > 0, expected)
    found = system.run(hu, BIG_MM, mask=mask, roi=(ALL, ALL, slice(0, 16)))
    np.testing.assert_array_equal(found.labels[..., 15:17] > 0, expected[..., 15:17] & [True, False])


@pytest.mark.parametrize(
    "options, spacing_mm", [({}, BIG_MM), ({"slice_mm": 3.0, "inplane_mm": 4.0}, (1.0, 2.0, 2.0))]
)
def test_progress_rises_to_one(options, spacing_mm):
    """Also on a working grid, where slabs are fewer than the CT has slices."""
    shares = []
    segmenter(**options).segment(ct(RIGHT_BOX, LEFT_BOX), spacing_mm, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 6


def test_cancelling_gives_up_within_a_batch():
    cancel, calls = threading.Event(), []
    with pytest.raises(CancelledError):
        segmenter().segment(
            ct(RIGHT_BOX), BIG_MM, progress=lambda share: (calls.append(share), cancel.set()), cancel=cancel
        )
    assert len(calls) == 1


def test_a_segmenter_made_before_a_fork_raises_at_once():
    one = segmenter()
    one._process += 1
    with pytest.raises(RuntimeError, match="fork"):
        one.segment(ct(RIGHT_BOX), BIG_MM)


def test_a_region_of_interest_keeps_what_lies_in_it():
    """Its bounds may count from the end, in NumPy's numbers, and beyond the CT."""
    hu, roi = ct(RIGHT_BOX, LEFT_BOX), (slice(np.int64(4), -1, 1), slice(None, np.uint8(18)), slice(8, 99))
    found = segmenter().run(hu, BIG_MM, roi=roi)
    expected = np.zeros(hu.shape, np.uint8)
    expected[roi] = 2 * (hu[roi] > 0)
    np.testing.assert_array_equal(found.labels, expected)
    assert set(np.unique(found.sides)) == {0, 1, 2}


@pytest.mark.parametrize("dtype", (np.int32, np.float16, np.float32, np.float64))
def test_every_type_of_numbers_is_taken(dtype):
    hu = ct(RIGHT_BOX)
    bright = dtype(3e38 if dtype in (np.float32, np.float64) else 2125)
    np.testing.assert_array_equal(segmenter().segment(np.where(hu > 0, bright, dtype(-1024)), BIG_MM), 2 * (hu > 0))


UNUSABLE = [
    *(("hu", value) for value in (np.zeros((4, 5)), np.zeros((0, 4, 5)), ct() + 0j)),
    *(("hu", np.full((2, 4, 5), value)) for value in (np.nan, -np.inf, 1e300, -1e39)),
    *(("spacing_mm", value) for value in (2.0, (1.0, 1.0), (1.0, np.nan, 1.0), (1e-9,) * 3, (1e9,) * 3, (-1, 1, 1))),
    *(("roi", (part, ALL, ALL)) for part in (slice(0, 9, 2), slice(9, 0, -1), slice(4, 4), slice(90, 99))),
    *(("roi", parts) for parts in ((ALL, ALL), (2, ALL, ALL), ())),
    ("mask", np.zeros((7, 40, 50))),
]


@pytest.mark.parametrize("name, value", UNUSABLE, ids=str)
def test_unusable_arguments_are_named(name, value):
    with pytest.raises(ValueError, match="kidney mask"):
        segmenter(planes=()).segment(ct(RIGHT_BOX), BIG_MM)
    with pytest.raises(ValueError, match=f"^{name} "):
        segmenter().run(**{"hu": ct(RIGHT_BOX), "spacing_mm": BIG_MM} | {name: value})


@pytest.mark.parametrize(
    "option, value",
    [
        *(("fusion", "maximum"), ("tta", "rotate"), ("stage", "kidneys")),
        *(("planes", planes) for planes in ("axal", "", "axial,axial", (), ["axial", "oblique"])),
        *(("name_or_folder", names) for names in ([], ["default", "default"])),
    ],
    ids=str,
)
def test_unusable_options_are_named_before_anything_is_read(option, value):
    with pytest.raises(UsageError, match=f"^--{option.replace('name_or_folder', 'checkpoint_dir')}: "):
        load_segmenter(**{"name_or_folder": "/nowhere", option: value})


@pytest.mark.parametrize("roi", [(ALL,) * 3, (slice(2, 8), slice(3, 30), slice(0, 31))], ids=["all", "roi"])
@pytest.mark.parametrize("fusion", ("union", "majority", "mean"))
def test_probabilities_are_those_of_the_networks_and_zero_outside_a_region_of_interest(fusion, roi):
    """Also of several threads at once."""
    hu, one = random_ct(), segmenter(fusion=fusion)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found, plain = pool.map(lambda p: one.run(hu, BIG_MM, roi=roi, probabilities=p), (True, False))
    scaled = np.zeros(hu.shape, np.float32)
    scaled[roi] = geometry.scale(NumPy, hu[roi])
    np.testing.assert_allclose(found.probabilities["kidney"] / UNIT, scaled, atol=0.6 / UNIT)
    np.testing.assert_allclose(found.probabilities["tumor"] / UNIT, scaled * (found.sides > 0), atol=0.6 / UNIT)
    np.testing.assert_array_equal(found.labels, plain.labels)
    assert plain.probabilities == {}


@pytest.mark.parametrize("fusion", ("union", "majority", "mean"))
@pytest.mark.parametrize("planes", [("axial",), ("coronal", "sagittal"), PLANES], ids=str)
@pytest.mark.parametrize("options", [{}, {"overlap": 4, "mirror": True}, {"body_box": True}], ids=str)
def test_every_fusion_of_identity_networks_is_exact(fusion, planes, options):
    """Outside the body's box, one bright voxel is not looked at, even by networks that see whole slices."""
    spacing_mm = (40.0, 7.5, 7.5)  # two pixels are 15 mm
    hu = random_ct(1)
    hu[:, :, 30:] = -1024
    hu[4, 4, 40] = 2125
    expected = 2 * (geometry.scale(NumPy, hu) > 0.5).astype(np.uint8)
    expected[4, 4, 40] = 0
    np.testing.assert_array_equal(segmenter(planes, fusion, **options).segment(hu, spacing_mm), expected)


@pytest.mark.parametrize("shares_a_grid", [True, False])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_planes_are_fused_on_the_grid_that_they_share_or_else_on_the_cts(fusion, shares_a_grid):
    """Identity networks that disagree, as each scales HU by a range of its own."""
    hu, spacing_mm = random_ct(3), (13.0, 7.0, 7.0)
    one = segmenter(fusion=fusion, slice_mm=20.0, inplane_mm=15.0)
    for plane, high in zip(PLANES, (1600.0, 2125.0, 2700.0), strict=True):
        changes = {"clip_high_hu": high} | ({} if shares_a_grid or plane == "axial" else {"inplane_mm": 9.0})
        name = f"kidney_{plane}"
        one.configs[name] = dataclasses.replace(one.configs[name], **changes)
    kidney = [one.configs[f"kidney_{plane}"] for plane in PLANES]
    grids = [geometry.working_shape(hu.shape, spacing_mm, config) for config in kidney]
    assert len(set(grids)) == (1 if shares_a_grid else 2)
    planes = [
        geometry.scale(NumPy, geometry.resized(hu, grid, geometry.clipped), config.clip_hu)
        for grid, config in zip(grids, kidney, strict=True)
    ]
    if not shares_a_grid:
        planes = [geometry.resized(plane, hu.shape) for plane in planes]
    fuse = {"union": np.max, "majority": np.median, "mean": np.mean}[fusion]
    fused = geometry.resized(fuse(planes, axis=0).astype(np.float32), hu.shape)
    found = one.run(hu, spacing_mm, probabilities=True)
    np.testing.assert_allclose(found.probabilities["kidney"] / UNIT, fused, atol=1 / UNIT)
    np.testing.assert_array_equal(found.labels, one.segment(hu, spacing_mm))


@pytest.mark.parametrize("own", FUSIONS)
def test_planes_are_fused_as_their_networks_say_unless_told_otherwise(own):
    configs = segmenter(fusion=None).configs
    configs = {
        name: dataclasses.replace(one, **({"fusion": own} if name != "tumor" else {})) for name, one in configs.items()
    }
    assert Segmenter(IdentityEngine(), configs).fusion == own
    assert [Segmenter(IdentityEngine(), configs, given).fusion for given in FUSIONS] == list(FUSIONS)


@pytest.mark.parametrize(
    "boxes, sides",
    [
        ([], 0),
        ([((3, 8), (10, 20), (8, 44))], 2),  # horseshoe
        ([((9, 12), (10, 20), (22, 40))], 1),  # pelvic, over the middle
        ([((0, 12), (0, 40), (0, 50))], 2),  # at every edge
        ([((0, 1), (10, 20), (5, 15)), ((11, 12), (10, 20), (33, 44))], 2),  # at the first and the last slice
    ],
)
def test_odd_anatomy(boxes, sides):
    hu = ct(*boxes)
    found = segmenter().run(hu, BIG_MM)
    np.testing.assert_array_equal(found.labels, 2 * (hu > 0))
    assert len(np.unique(found.sides[found.sides > 0])) == sides


class DoubtfulEngine(IdentityEngine):
    """The sagittal network finds less of everything."""

    def probability(self, network, batch):
        return super().probability(network, batch) - np.float32(0.2 * (network == "kidney_sagittal"))


@pytest.mark.parametrize("other", [{}, {"slice_mm": 6.5}, {"body_box": True}], ids=["alike", "grids", "boxes"])
@pytest.mark.parametrize("grid", [{}, {"slice_mm": 13.0, "inplane_mm": 13.0}], ids=["native", "working"])
@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("fusion", ["union", "majority"])
def test_a_piece_that_a_plane_does_not_see_is_dropped_beside_the_kidney_where_the_config_says_so(
    fusion, keeps, grid, other
):
    """Over three times as large as the kidney; fainter, so that the sagittal plane does not see it."""
    kidney, false = ((2, 6), (10, 16), (18, 24)), ((7, 12), (10, 20), (14, 24))
    hu = ct(kidney, false)
    hu[tuple(slice(*bounds) for bounds in false)] = 700  # a probability of 0.55
    assert (hu == 700).sum() > 3 * (hu == 2125).sum()
    configs = segmenter(fusion=fusion, min_agreement=0.5, **grid).configs
    configs["kidney_sagittal"] = dataclasses.replace(configs["kidney_sagittal"], **other)
    one = Segmenter(DoubtfulEngine(), configs, fusion)
    found = one.run(hu, BIG_MM, probabilities=keeps)
    np.testing.assert_array_equal(found.sides > 0, hu == 2125)
    for mask in (hu > -1000, found.labels > 0):  # a given mask is taken as it is
        np.testing.assert_array_equal(one.run(hu, BIG_MM, mask=mask).sides > 0, mask)
    configs = segmenter(fusion=fusion, min_agreement=0.0, **grid).configs
    np.testing.assert_array_equal(Segmenter(DoubtfulEngine(), configs, fusion).run(hu, BIG_MM).sides > 0, hu > -1000)


@pytest.mark.parametrize("shape", [(1, 20, 24), (2000, 20, 24)], ids=str)
@pytest.mark.parametrize("spacing_mm", [(0.01, 0.3, 0.3), (100.0, 100.0, 100.0), (0.3, 10.0, 10.0)], ids=str)
def test_one_slice_and_two_thousand_at_any_spacing(shape, spacing_mm):
    hu = ct(((0, shape[0]), (4, 16), (2, 9)), ((0, shape[0]), (4, 16), (15, 22)), shape=shape)
    kidneys_alone = segmenter(min_component_ml=2.0)
    del kidneys_alone.configs["tumor"]
    found = kidneys_alone.segment(hu, spacing_mm)
    kept = 84 * shape[0] * np.prod(spacing_mm) >= 2000  # else it is a speck
    np.testing.assert_array_equal(found, (hu > 0) * kept)


def test_cubes_and_working_grids_beyond_memory_are_refused():
    with pytest.raises(ValueError, match="a kidney's cube would have 2016x2016x2016 voxels"):
        segmenter().segment(ct(((0, 2000), (4, 16), (2, 9)), shape=(2000, 20, 24)), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="working grid of kidney_axial would have 33333x2000x2500 voxels"):
        segmenter(slice_mm=3.0, inplane_mm=2.0).segment(ct(RIGHT_BOX, shape=(1000, 40, 50)), (100.0, 100.0, 100.0))
