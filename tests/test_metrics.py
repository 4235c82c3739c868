"""The Dice metric over several batches is that of all their voxels."""

import numpy as np
import pytest

from kits_tf.metrics import Dice


def test_dice_over_batches():
    dice = Dice()
    assert float(dice.result()) == 1  # nothing in either
    rng = np.random.default_rng(0)
    labels, logits = rng.random((3, 4, 5, 5, 1)) < 0.3, rng.normal(size=(3, 4, 5, 5, 1))
    for batch in zip(labels, logits, strict=True):
        dice.update_state(*batch)
    found = logits > 0
    assert float(dice.result()) == pytest.approx(2 * np.sum(found & labels) / (found.sum() + labels.sum()))
    dice.reset_state()
    dice.update_state(labels, logits, sample_weight=[0.0, 1.0, 2.0])  # as if the last sample came twice
    found, weighted = found[[1, 2, 2]], labels[[1, 2, 2]]
    assert float(dice.result()) == pytest.approx(2 * np.sum(found & weighted) / (found.sum() + weighted.sum()))
    dice.reset_state()
    dice.update_state(labels[0], np.where(labels[0], -1.0, 1.0))
    assert float(dice.result()) == 0
