"""Proves that stage 2 in parts gives what it gives at once, and takes no floats of a whole box."""

import dataclasses
import functools
import tracemalloc

import numpy as np
import pytest

from kits_tf.arrays import NumPy
from kits_tf.config import preset
from kits_tf.inference import tumor
from tests.identity import IdentityEngine, stage_two

CONFIG = dataclasses.replace(preset("small", "tumor"), grid=32)
SPACING_MM = (3.0, 0.8, 0.8)


def random_kidney(shape):
    rng = np.random.default_rng(0)
    return rng.integers(-1024, 2126, shape, dtype=np.int16), rng.random(shape) < 0.7


@pytest.mark.parametrize("blocks", ("split", "overlap", "polyphase", "none"))
@pytest.mark.parametrize("shape", [(30, 110, 90), (1, 1, 1), (2, 300, 20), (7, 33, 1)], ids=str)
@pytest.mark.parametrize("mirrored", (False, True))
def test_parts_give_what_the_whole_does(shape, blocks, mirrored):
    config, engine = dataclasses.replace(CONFIG, blocks=blocks, average_mirrored=mirrored), IdentityEngine()
    run = functools.partial(engine.probabilities, "tumor")
    case = (config, *random_kidney(shape), SPACING_MM)
    np.testing.assert_allclose(stage_two(engine, *case), tumor.stage_two(NumPy, run, *case), atol=1e-5)


def test_a_long_box_takes_less_than_its_floats():
    hu, mask = random_kidney((600, 64, 64))
    tracemalloc.start()
    assert sum(len(part) for _, part in IdentityEngine().stage_two(CONFIG, hu, mask, SPACING_MM)) == len(hu)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * hu.size / 1.5


def test_the_mirrored_mean_is_that_of_the_cube_and_of_its_mirror_image():
    """A network that finds all columns but the first two finds all but the last two of the mirror image."""
    config = dataclasses.replace(CONFIG, blocks="none", average_mirrored=True, grid=8)
    from_the_third = np.broadcast_to(np.arange(8) >= 2, (1, 8, 8, 8)).astype(np.float32)
    found = tumor.run_cube(NumPy, lambda batches: (from_the_third for _ in batches), config, np.zeros((8, 8, 8)))
    np.testing.assert_array_equal(found, np.broadcast_to([0.5, 0.5, 1, 1, 1, 1, 0.5, 0.5], (8, 8, 8)))
