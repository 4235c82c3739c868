"""Proves the parts of the loop that need no network: call sizes, losses that are no numbers."""

import numpy as np
import pytest

from kits_tf.training import loop


def test_calls_grow_towards_their_length_and_end_with_the_next_look():
    assert loop.next_count(1, 30.0, 1000) == 1
    assert loop.next_count(4, 0.001, 1000) == 8
    assert loop.next_count(8, 0.0625, 1000) == 16
    assert loop.next_count(16, 0.25, 1000) == 4
    assert loop.next_count(90, 0.0001, 1000) == loop.MAX_CALL_STEPS
    assert loop.next_count(8, 0.001, 3) == 3


def test_the_first_step_that_is_not_finite_is_named():
    values = np.ones((5, 2), np.float32)
    loop.check_finite(["loss", "dice"], values, 10)
    values[3, 1] = np.nan
    values[4, 0] = np.inf
    with pytest.raises(loop.LossError, match="dice is not finite at step 14"):
        loop.check_finite(["loss", "dice"], values, 10)
