"""Stage 1's batches: every slab once, and few sizes of input, each of which an engine compiles a network for."""

import numpy as np
import pytest

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES, KidneyConfig
from kits_tf.inference import kidney

PIXELS = 2**16


@pytest.mark.parametrize("plane", PLANES)
def test_batches_hold_every_slab_once(plane):
    shape, config = (61, 150, 171), KidneyConfig(plane=plane)
    halves = geometry.halves(NumPy, plane, shape)
    found = np.concatenate([part for half in halves for part in kidney.batches(half, shape, config, PIXELS)])
    slabs = range(shape[geometry.AXIS[plane]])
    assert found.tolist() == [*slabs, *(slabs if plane != "sagittal" else ())]


@pytest.mark.parametrize(
    "shape, pixels, size", [((40, 130, 140), PIXELS, 5), ((40, 144, 160), PIXELS, 5), ((3, 512, 512), 1000, 1)]
)
def test_slabs_padded_to_one_size_come_in_batches_of_one_size(shape, pixels, size):
    """Halves of 130 x 70 and of 144 x 80 pixels are both padded to 144 x 80 at depth 4: 5 of them have 2^16 pixels."""
    right, _ = geometry.halves(NumPy, "axial", shape)
    assert kidney.batch_size(NumPy, right, shape, KidneyConfig(depth=4), pixels) == size
