"""Proves that test-time augmentation and ensembles average what they should; `test_identity` that nothing moves."""

import dataclasses

import numpy as np
import pytest

from kits_tf.config import preset
from kits_tf.errors import UsageError
from kits_tf.inference.ensemble import augmented, check_compatible, mean_of
from tests.identity import IdentityEngine


class Says(IdentityEngine):
    """Says of every batch what a function of its shape returns."""

    def __init__(self, function):
        self._function = function

    def probability(self, network, batch):
        return self._function(batch.shape[:-1]).astype(np.float32)


def test_an_ensemble_gives_the_mean_in_order():
    engine = mean_of([Says(lambda shape, value=value: np.full(shape, value)) for value in (0.25, 0.5, 0.75)])
    batches = [np.zeros((n, 4, 4, 3), np.float32) for n in (3, 1, 2)]
    found = list(engine.probabilities("kidney_axial", iter(batches)))
    assert [len(part) for part in found] == [3, 1, 2] and all((part == 0.5).all() for part in found)


@pytest.mark.parametrize("tta, expected", [("flip", np.full(16, 7.5)), ("shift", np.arange(16) + 4)])
def test_augmentation_averages_rows_with_their_mirror_images_or_moved_ones(tta, expected):
    """Of networks that say each row's number; depth 4 means moved by 4 and by 8 pixels."""
    engine = augmented(Says(lambda shape: np.indices(shape)[1]), tta, {"kidney": preset("paper", "kidney", "axial")})
    found = engine.probability("kidney_axial", np.zeros((1, 16, 16, 3), np.float32))
    np.testing.assert_array_equal(found, np.broadcast_to(expected[:, None], (1, 16, 16)))


def test_only_networks_that_see_alike_are_averaged():
    config = preset("best", "tumor")
    wider = dataclasses.replace(config, base_filters=48, learning_rate=1.0)
    check_compatible([{"tumor": config}, {"tumor": wider}], ["a", "b"])
    with pytest.raises(UsageError, match="tumor has grid=160 in a and 96 in b"):
        check_compatible([{"tumor": config}, {"tumor": dataclasses.replace(config, grid=96)}], ["a", "b"])
