"""A patient's HU stay in their ranges, differ by phase and are shared between tissues."""

import numpy as np
import pytest

from kits_tf.config import PHASES
from kits_tf.simulation.appearance import LIKE_KIDNEY, RANGES, TUMORS, Appearance
from kits_tf.simulation.fields import random_generator


def looks(phase, count=40):
    """Patients in a phase."""
    return [Appearance(random_generator(seed), phase) for seed in range(count)]


@pytest.mark.parametrize("phase", PHASES)
def test_means_stay_in_their_ranges_and_vary(phase):
    low, high = RANGES["muscle"][phase != "unenhanced"]
    means = [look.mean("muscle") for look in looks(phase)]
    assert low <= min(means) and max(means) <= high
    assert np.ptp(means) > 0.5 * (high - low)


def test_other_organs_are_as_bright_as_the_kidneys_as_often_as_they_should_be():
    """Without contrast their own range lies within the kidneys' and hides it."""
    drawn = looks("corticomedullary", 200)
    like = [min(look.medulla, look.cortex) <= look.mean("heart") <= max(look.medulla, look.cortex) for look in drawn]
    bright = [look.mean("liver") > RANGES["liver"][1][1] for look in drawn]
    assert np.mean(like) > LIKE_KIDNEY["heart"] - 0.1
    assert 0.02 < np.mean(bright) < LIKE_KIDNEY["liver"]


def test_contrast_brightens_kidneys_and_their_urine_in_turn():
    kidney = {phase: np.mean([look.cortex for look in looks(phase)]) for phase in PHASES}
    urine = {phase: np.median([look.urine for look in looks(phase)]) for phase in PHASES}
    assert kidney["corticomedullary"] > kidney["unenhanced"] + 80
    assert urine["excretory"] > 300 > 30 > urine["corticomedullary"]
    assert all(look.medulla < look.cortex for look in looks("corticomedullary"))


def test_an_enhanced_tumor_differs_from_the_cortex():
    for look in looks("nephrographic"):
        for kind in TUMORS:
            assert abs(look.tumor_hu(random_generator(1), kind) - look.cortex) >= 15
    low, high = TUMORS["solid"][0]
    assert all(low <= look.tumor_hu(random_generator(1), "solid") <= high for look in looks("unenhanced"))
