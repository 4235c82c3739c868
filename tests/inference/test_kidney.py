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


@pytest.mark.parametrize("plane", PLANES)
def test_batches_hold_every_slab_once(plane):
    shape, config = (61, 150, 171), KidneyConfig(plane=plane)
    halves = geometry.halves(NumPy, plane, shape)
    found = np.concatenate([part for half in halves for part in kidney.batches(half, shape, config, PIXELS)])
    slabs = range(shape[geometry.AXIS[plane]])
    assert found.tolist() == [*slabs, *(slabs if plane != "sagittal" else ())]


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


class PlanesThatDisagree(IdentityEngine):
    """Finds what is bright, in each plane with errors of its own; counts slabs by network."""

    def __init__(self):
        self.slabs = collections.Counter()

    def probability(self, network, batch):
        self.slabs[network] += len(batch)
        phase = batch.sum(axis=(1, 2, 3), keepdims=True)[..., 0] + np.arange(batch.shape[2]) * len(network)
        return np.clip(super().probability(network, batch) + 0.3 * np.sin(phase), 0, 1).astype(np.float32)


@pytest.mark.parametrize("spacing_mm", [(2.0, 0.8, 0.9), (3.0, 2.0, 2.0), (7.0, 3.5, 3.0)], ids=str)
@pytest.mark.parametrize("where", [[(10, 10, 8)], [(10, 10, 8), (15, 20, 33)], [(9, 15, 19)], []], ids=str)
def test_slabs_on_which_two_planes_agree_are_spared_and_change_no_label(spacing_mm, where):
    shape = 36, 36, 42
    hu = np.full(shape, -1024, np.int16)
    for centre in where:
        distances = [np.abs(np.arange(size) - middle) for size, middle in zip(shape, centre, strict=True)]
        hu[np.ix_(*(distance < 5 for distance in distances))] = 1000
    configs = kidney_configs(inplane_mm=2.0, slice_mm=3.0, fusion="majority", body_box=False)
    found, slabs = [], []
    for dtype in (bool, np.float32):
        engine = PlanesThatDisagree()
        (fused,) = kidney.stage_one(
            engine, {f"kidney_{plane}": config for plane, config in configs.items()}, hu,
            geometry.whole_box(shape), spacing_mm, {"majority": dtype}, lambda share: None,
        )  # fmt: skip
        found.append(fused > 0.5)
        slabs.append(engine.slabs)
    np.testing.assert_array_equal(*found)
    assert found[0].any() == bool(where)
    assert slabs[0]["kidney_axial"] < slabs[1]["kidney_axial"]
    assert all(slabs[0][name] == slabs[1][name] for name in ("kidney_coronal", "kidney_sagittal"))
