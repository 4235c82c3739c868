"""Stage 1's batches: every slab once, and few sizes of input, each of which an engine compiles a network for."""

import collections
import dataclasses
import tracemalloc

import numpy as np
import pytest

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES, KidneyConfig
from kits_tf.inference import kidney
from kits_tf.inference.segmenter import Segmenter
from tests.identity import IdentityEngine
from tests.tiny import small_ct, tiny_configs

PIXELS = 2**16


class CountingEngine(IdentityEngine):
    """Counts the slabs that each network runs."""

    def __init__(self):
        self.slabs = collections.Counter()

    def probability(self, network, batch):
        self.slabs[network] += len(batch)
        return super().probability(network, batch)


@pytest.mark.parametrize("bright", [(), (0,), (6,), (7,), (8, 9, 10, 11, 12, 13), (21, 22), (21,)], ids=str)
@pytest.mark.parametrize("step", [1, 2, 4, 30])
@pytest.mark.parametrize("plane", PLANES)
def test_every_nth_slab_and_the_last_are_run_and_those_between_two_of_which_one_has_kidney(plane, step, bright):
    """The 23 slabs of the left half are all dark."""
    shape = {"axial": (23, 9, 10), "coronal": (9, 23, 10), "sagittal": (9, 10, 46)}[plane]
    volume = np.zeros(shape, np.float32)
    np.moveaxis(volume, geometry.AXIS[plane], 0)[list(bright), :, :5] = 1
    config = KidneyConfig(plane=plane, depth=1, search_step=step, clip_low_hu=0.0, clip_high_hu=1.0)
    engine, found, shares = CountingEngine(), np.full(shape, np.nan, np.float32), []
    for index, part in kidney.run_plane(engine, plane, config, volume, shares.append):
        assert np.isnan(found[index]).all()
        found[index] = part
    searched = {*range(0, 23, step), 22}
    beside = {slab for slab in range(23) if {slab // step * step, min(22, (slab // step + 1) * step)} & set(bright)}
    assert engine.slabs[plane] == len(searched | beside) + len(searched)
    expected = np.zeros(shape)
    np.moveaxis(expected, geometry.AXIS[plane], 0)[[*(set(bright) & (searched | beside))], :, :5] = 1
    np.testing.assert_array_equal(found, expected)
    assert shares == sorted(shares) and shares[-1] == 1


class ShapeEngine(IdentityEngine):
    """Remembers the shapes that were announced, and those that came, by network; a last batch may be smaller."""

    def __init__(self):
        self.announced, self.came = [], []

    def prepare(self, network, shape):
        assert all(type(size) is int for size in shape)
        self.announced.append((network, shape))

    def probability(self, network, batch):
        self.came.append((network, batch.shape))
        return super().probability(network, batch)


@pytest.mark.parametrize("tumor", [{"grid": 16}, {"grid": 18, "blocks": "polyphase"}, {"blocks": "none", "grid": 20}])
@pytest.mark.parametrize("shape", [(12, 60, 80), (12, 60, 81), (5, 60, 1)], ids=str)
def test_the_shapes_that_an_engine_prepares_for_are_those_that_come(shape, tumor):
    configs = tiny_configs()
    configs["tumor"] = dataclasses.replace(configs["tumor"], **tumor)
    engine = ShapeEngine()
    Segmenter(engine, configs).segment(small_ct(shape), (4.0, 3.0, 3.0))
    for network, came in engine.came:
        assert any(network == name and came[1:] == shape[1:] for name, shape in engine.announced)
    if shape[2] > 1:
        assert set(engine.announced) <= set(engine.came)
        assert {network for network, _ in engine.came} == set(configs)


@pytest.mark.parametrize(
    "shape, pixels, size", [((40, 130, 140), PIXELS, 5), ((40, 144, 160), PIXELS, 5), ((3, 512, 512), 1000, 1)]
)
def test_slabs_padded_to_one_size_come_in_batches_of_one_size(shape, pixels, size):
    """Halves of 130 x 70 and of 144 x 80 pixels are both padded to 144 x 80 at depth 4: 5 of them have 2^16 pixels."""
    right, _ = geometry.halves(NumPy, "axial", shape)
    assert kidney.batch_size(NumPy, right, shape, KidneyConfig(depth=4), pixels) == size


def peak_bytes(function):
    """Return the result of a call and the memory that it allocates at most."""
    tracemalloc.start()
    try:
        return function(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def kidney_configs(**options):
    return {plane: dataclasses.replace(tiny_configs()[f"kidney_{plane}"], **options) for plane in PLANES}


def test_a_ct_too_large_for_the_working_grid_is_refused_before_memory_is_spent(monkeypatch):
    monkeypatch.setattr(kidney, "MAX_GRID_VOXELS", 1000)
    hu, segmenter = small_ct((240, 60, 80)), Segmenter(IdentityEngine(), kidney_configs(inplane_mm=3.0))

    def refused():
        with pytest.raises(ValueError, match="working grid"):
            segmenter.segment(hu, (4.0, 3.0, 3.0))

    assert peak_bytes(refused)[1] < 0.25 * hu.nbytes


def test_whole_slices_come_to_the_working_grid_with_air_around_the_body_a_few_at_a_time(monkeypatch):
    hu, spacing_mm = np.full((60, 80, 100), 30, np.int16), (1.0, 1.0, 1.0)
    body, whole = geometry.BodyBox((20, 60), (30, 80)), geometry.whole_box(hu.shape)
    with_air = geometry.only_body(hu, body)
    assert with_air.min() == geometry.HU_MIN
    slices, only_body = [], geometry.only_body
    monkeypatch.setattr(geometry, "only_body", lambda hu, box: (slices.append(len(hu)), only_body(hu, box))[1])
    configs = kidney_configs(inplane_mm=4.0, slice_mm=0.0, body_box=False)
    found, expected = (
        kidney.stage_one(
            IdentityEngine(), configs, volume, box, spacing_mm, {"union": np.float32}, lambda share: None
        )[0]
        for volume, box in ((hu, body), (with_air, whole))
    )
    np.testing.assert_array_equal(found, expected)
    assert max(slices) < 20


@pytest.mark.parametrize("method", ["union", "majority", "mean", "all"])
def test_slabs_that_are_not_run_find_nothing(method):
    """One bright coronal slab between those searched: the axial and sagittal networks see it, the coronal does not."""
    hu = np.zeros((20, 20, 20), np.int16)
    hu[:, 9, 2:8] = 1
    configs = kidney_configs(
        inplane_mm=2.0, slice_mm=2.0, body_box=False, search_step=4, clip_low_hu=0.0, clip_high_hu=1.0
    )
    (found,) = kidney.stage_one(
        IdentityEngine(),
        configs,
        hu,
        geometry.whole_box(hu.shape),
        (2.0, 2.0, 2.0),
        {method: np.float32},
        lambda share: None,
    )
    expected = {"union": 1, "majority": 1, "mean": 2 / 3, "all": 0}[method]
    np.testing.assert_allclose(found, hu * expected)
