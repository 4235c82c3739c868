"""Stage 1's batches: every slab once, and few sizes of input, each of which an engine compiles a network for."""

import dataclasses

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
