"""Stage 1's batches: every slab once, and few sizes of input, each of which an engine compiles a network for."""

import numpy as np
import pytest

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES, KidneyConfig
from kits_tf.inference import kidney

PIXELS = 2**16


def halves(plane, shape):
    return geometry.halves(NumPy, plane, shape, 0)


@pytest.mark.parametrize("plane", PLANES)
def test_batches_hold_every_slab_once(plane):
    shape = (61, 150, 171)
    config = KidneyConfig(plane=plane)
    found = [i for half in halves(plane, shape) for i in np.concatenate(kidney.batches(half, shape, config, PIXELS))]
    slabs = shape[geometry.AXIS[plane]]
    assert found == (list(range(slabs)) if plane == "sagittal" else 2 * list(range(slabs)))


def test_slabs_padded_to_one_size_come_in_batches_of_one_size():
    """Halves of 130 x 70 and of 144 x 80 pixels are both padded to 144 x 80 at depth 4: 5 of them have 2^16 pixels."""
    config = KidneyConfig(plane="axial", depth=4)
    for shape in ((40, 130, 140), (40, 144, 160)):
        right, _ = halves("axial", shape)
        assert kidney.batch_size(NumPy, right, shape, config, PIXELS) == 5


def test_a_slab_larger_than_a_batch_goes_alone():
    shape = (3, 512, 512)
    right, _ = halves("axial", shape)
    assert [len(batch) for batch in kidney.batches(right, shape, KidneyConfig(), 1000)] == [1, 1, 1]
