"""Proves that test-time augmentation and ensembles average what they should, and move no voxel."""

import dataclasses

import numpy as np
import pytest

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES, preset
from kits_tf.errors import UsageError
from kits_tf.inference.ensemble import augmented, check_alike, mean_of, shifted
from tests.identity import IdentityEngine, stage_two
from tests.inference.test_identity import SMALL_SHAPES, kidney_config, random_hu, stage_one_probability


class Constant(IdentityEngine):
    """Says the same of everything."""

    def __init__(self, value):
        self._value = value

    def probability(self, network, batch):
        return np.full(batch.shape[:-1], self._value, np.float32)


class Rows(IdentityEngine):
    """Says of each pixel its row's number."""

    def probability(self, network, batch):
        rows = np.arange(batch.shape[1], dtype=np.float32)
        return np.broadcast_to(rows[:, None], batch.shape[1:-1])[None].repeat(len(batch), axis=0)


@pytest.mark.parametrize("folds", (1, 3))
@pytest.mark.parametrize("tta", ("none", "shift", "flip"))
@pytest.mark.parametrize("options", [{}, {"mirror": True, "overlap": 3}, {"depth": 2}], ids=str)
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("shape", SMALL_SHAPES, ids=str)
def test_identity_networks_give_back_the_volume(shape, plane, options, tta, folds):
    config = kidney_config(plane, **options)
    engine = augmented(mean_of([IdentityEngine()] * folds), tta, {"kidney": config})
    hu = random_hu(shape)
    np.testing.assert_array_equal(stage_one_probability(hu, config, engine), geometry.scale(NumPy, hu))


@pytest.mark.parametrize("tta", ("shift", "flip"))
@pytest.mark.parametrize("blocks", ("split", "overlap", "polyphase"))
def test_identity_networks_give_back_the_kidney(blocks, tta):
    config = dataclasses.replace(preset("paper", "tumor"), grid=0, blocks=blocks)
    hu = random_hu((29, 33, 17))
    mask = np.random.default_rng(1).random(hu.shape) < 0.7
    engine = augmented(IdentityEngine(), tta, {"tumor": config})
    found = stage_two(engine, config, hu, mask, (3.0, 0.8, 0.8))
    np.testing.assert_array_equal(found, geometry.scale(NumPy, hu) * mask)


def test_an_ensemble_gives_the_mean_in_order():
    engine = mean_of([Constant(0.25), Constant(0.5), Constant(0.75)])
    batches = [np.zeros((n, 4, 4, 3), np.float32) for n in (3, 1, 2)]
    found = list(engine.probabilities("kidney_axial", iter(batches)))
    assert [len(part) for part in found] == [3, 1, 2]
    assert all((part == 0.5).all() for part in found)


def test_a_flip_averages_each_row_with_its_mirror_image():
    engine = augmented(Rows(), "flip", {"kidney": kidney_config("axial")})
    found = engine.probability("kidney_axial", np.zeros((1, 16, 16, 3), np.float32))
    np.testing.assert_array_equal(found, np.full((1, 16, 16), 7.5))


def test_a_shift_moves_all_axes_and_keeps_sizes_divisible():
    batch = np.arange(2 * 16 * 32 * 3, dtype=np.float32).reshape(2, 16, 32, 3)
    there, back = shifted(batch, unit=16, offset=4)
    assert there.shape == (2, 32, 48, 3)
    np.testing.assert_array_equal(there[:, 4:20, 4:36], batch)
    assert not there[:, :4].any() and not there[:, :, 36:].any()
    np.testing.assert_array_equal(back(there[..., 1]), batch[..., 1])


def test_only_networks_that_see_alike_are_averaged():
    config = preset("best", "tumor")
    wider = dataclasses.replace(config, base_filters=48, learning_rate=1.0)
    check_alike([{"tumor": config}, {"tumor": wider}], ["a", "b"])
    with pytest.raises(UsageError, match="tumor has grid=160 in a and 96 in b"):
        check_alike([{"tumor": config}, {"tumor": dataclasses.replace(config, grid=96)}], ["a", "b"])
