"""The suites of CTs simulated from organ maps are apart from each other, and every try names usable flags."""

import pytest

from experiments import simulation_suites, simulation_tries
from kits_tf.cli import app, phantom, train

ANATOMY = ["--anatomy=organs.nii.gz", "--legend=organs.json", "--anatomy_ct=imaging.nii.gz"]
TRAINING = simulation_suites.training(ANATOMY, 40)
HELD_OUT = simulation_suites.held_out(ANATOMY)
OTHER_COUNTS = {"the same, a quarter of the cases": 2}


def value(flags, name):
    """The value of a flag."""
    return next(flag.partition("=")[2] for flag in flags if flag.startswith(f"--{name}="))


@pytest.mark.parametrize("name", ["pixel_spacing_mm", "slice_spacing_mm"])
def test_held_out_spacings_lie_between_or_beyond_those_of_training(name):
    low, high = map(float, value(HELD_OUT, name).split(","))
    for flags in TRAINING:
        other_low, other_high = map(float, value(flags, name).split(","))
        assert high < other_low or low > other_high


def test_seeds_differ():
    assert value(HELD_OUT, "seed") not in {value(flags, "seed") for flags in TRAINING}


@pytest.mark.parametrize("flags", [HELD_OUT, *TRAINING], ids=["held out", "fine", "coarse"])
def test_suites_have_usable_flags(flags):
    app.parse(phantom.FLAGS, ["kits-phantom", "--output_dir=out", *flags])


@pytest.mark.parametrize("name", simulation_tries.tries(ANATOMY, 8))
def test_every_try_has_usable_flags_and_numbers_its_cases_once(name):
    simulations, options = simulation_tries.tries(ANATOMY, 8)[name]
    made = []
    for flags in simulations:
        app.parse(phantom.FLAGS, ["kits-phantom", "--output_dir=out", *flags])
        first = int(value(flags, "first_case")) if any("first_case" in flag for flag in flags) else 0
        made += range(first, first + int(value(flags, "num_cases")))
    assert sorted(made) == list(range(OTHER_COUNTS.get(name, 8)))
    folders = "--data_dir=in", "--checkpoint_dir=out", "--stage=kidney", "--plane=axial"
    app.parse(train.FLAGS, ["kits-train", *folders, *options])
