"""Proves that the recipe of the released weights has usable flags, in the paper's order, on separate cases."""

import importlib

import pytest

from experiments.simulated_weights import run
from kits_tf import checkpoint
from kits_tf.cli import app
from kits_tf.data import kits19

NUM_CASES = 20


@pytest.fixture
def commands(tmp_path):
    return [line for part in run.parts(tmp_path, NUM_CASES, options=["--set=num_steps=3"]) for line in part]


def values(line, name):
    """Return the values that a command gives to a flag."""
    return [flag.partition("=")[2] for flag in line if flag.startswith(f"--{name}=")]


def test_every_command_has_usable_flags(commands):
    for name, *flags in [*commands, ("simulate", "--output_dir=out", "--num_cases=10", *run.HELD_OUT)]:
        app.parse(importlib.import_module(f"kits_tf.cli.{name}").FLAGS, [f"kits-{name}", *flags])


def test_kidneys_are_found_between_both_stages(commands):
    assert [line[0] for line in commands] == ["simulate"] * 2 + ["prepare"] * 2 + ["train"] * 3 + ["predict", "train"]
    assert [values(line, "stage") for line in commands[4:]] == [["kidney"]] * 4 + [["tumor"]]
    assert values(commands[-1], "kidney_masks") == values(commands[-2], "output_dir")
    assert all(values(line, "set")[-1] == "num_steps=3" for line in commands if line[0] == "train")
    assert not any(values(line, "num_steps") for line in commands), "would override --set"


def test_every_case_is_simulated_once_and_trains_one_stage(commands):
    numbers = [sorted(kits19.parse_cases(",".join(values(line, "cases")))) for line in commands[:4]]
    assert numbers[0] + numbers[1] == sorted(numbers[2] + numbers[3]) == list(range(NUM_CASES))


def test_held_out_scans_share_no_spacing_and_no_seed_with_training(commands):
    for line in commands[:2]:
        assert values(line, "seed") != values(run.HELD_OUT, "seed")
        for name in ("pixel_spacing_mm", "slice_spacing_mm"):
            (low, high), (other_low, other_high) = (
                map(float, values(suite, name)[0].split(",")) for suite in (run.HELD_OUT, line)
            )
            assert high < other_low or low > other_high


def test_released_weights_are_small():
    """At most 12 MB a set and 20 MB in all, since every clone and wheel has them."""
    sizes = {
        name: sum(path.stat().st_size for path in (checkpoint.released_root() / name).glob("*/*.h5"))
        for name in checkpoint.released_names()
    }
    assert sizes and max(sizes.values()) <= 12e6 and sum(sizes.values()) <= 20e6
