"""Proves the learning rates at hand-derived steps."""

import numpy as np
import pytest

from kits_tf.training.schedules import WarmupSchedule


@pytest.mark.parametrize(
    "shape, warmup, step, expected",
    [
        ("constant", 0, 0, 1.0),
        ("constant", 0, 1000, 1.0),
        ("constant", 4, 0, 0.25),
        ("constant", 4, 2, 0.75),
        ("constant", 4, 4, 1.0),
        ("cosine", 0, 0, 1.0),
        ("cosine", 20, 0, 0.05),
        ("cosine", 20, 20, 1.0),
        ("cosine", 20, 60, 0.5),  # half way between the end of the rise and step 100
        ("cosine", 20, 100, 0.0),
        ("cosine", 20, 150, 0.0),
        ("cosine", 20, 40, (1 + np.sqrt(0.5)) / 2),  # a quarter of the way: cos(45 degrees)
    ],
)
def test_rates(shape, warmup, step, expected):
    schedule = WarmupSchedule(2.0, warmup, 100, shape)
    assert float(schedule(step)) == pytest.approx(2 * expected, abs=1e-6)


@pytest.mark.parametrize("step, expected", [(0, 0.25), (4, 1.0), (29, 1.0), (30, 0.2), (59, 0.2), (60, 0.04)])
def test_rates_in_steps(step, expected):
    """A rise over four steps, then a fifth of the rate from steps 30 and 60 on."""
    schedule = WarmupSchedule(2.0, 4, 100, "step", decay_steps=30, decay_factor=0.2)
    assert float(schedule(step)) == pytest.approx(2 * expected, rel=1e-6)


def test_config_round_trip():
    schedule = WarmupSchedule(0.1, 5, 50, "cosine")
    again = WarmupSchedule.from_config(schedule.get_config())
    assert float(again(17)) == float(schedule(17))
