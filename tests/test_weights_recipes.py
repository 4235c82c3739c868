"""The recipe of the released weights names commands with usable flags, in the paper's order, on cases apart."""

import importlib

import pytest

from experiments import four_networks, simulation_suites, train_simulated
from kits_tf.cli import app
from kits_tf.data import kits19

ANATOMY = ["--anatomy=organs.nii.gz", "--legend=organs.json"]
RECIPE = train_simulated.recipe(ANATOMY, 20)
HELD_OUT = simulation_suites.held_out(ANATOMY)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """The commands of the recipe, list of (name, flags), none of them run."""
    seen = []
    monkeypatch.setattr(four_networks, "command", lambda name, *flags, **variables: seen.append((name, list(flags))))
    monkeypatch.setattr(four_networks, "copy", lambda source, target: None)
    four_networks.make(RECIPE, tmp_path, tmp_path / "out", options=["--set=num_steps=3"])
    return seen


def values(flags, name):
    """What a flag is given, list of str."""
    return [flag.partition("=")[2] for flag in flags if flag.startswith(f"--{name}=")]


def test_every_command_has_usable_flags(commands):
    for name, flags in [*commands, ("simulate", ["--output_dir=out", *HELD_OUT])]:
        module = importlib.import_module(f"kits_tf.cli.{name}")
        app.parse(module.FLAGS, [f"kits-{name}", *flags])


def test_the_kidneys_are_found_between_both_stages(commands):
    names = [name for name, _ in commands]
    stages = [values(flags, "stage") for name, flags in commands if name == "train"]
    assert names == ["simulate"] * 2 + ["prepare"] * 2 + ["train"] * 3 + ["predict", "train"]
    assert stages == [["kidney"]] * 3 + [["tumor"]]
    assert values(commands[-1][1], "kidney_masks")


def test_some_of_the_tumor_networks_cases_are_new_to_the_kidney_networks():
    kidney, tumor = (set(kits19.parse_cases(RECIPE.cases[stage])) for stage in ("kidney", "tumor"))
    assert kidney and len(tumor - kidney) >= len(tumor) // 4


def test_simulations_number_their_cases_once():
    made = [number for flags in RECIPE.simulations for number in kits19.parse_cases(values(flags, "cases")[0])]
    assert made == list(range(20))


def test_held_out_scans_share_no_spacing_and_no_seed_with_training():
    for flags in RECIPE.simulations:
        assert values(flags, "seed") != values(HELD_OUT, "seed")
        for name in ("pixel_spacing_mm", "slice_spacing_mm"):
            (low, high), (other_low, other_high) = (
                map(float, values(suite, name)[0].split(",")) for suite in (HELD_OUT, flags)
            )
            assert high < other_low or low > other_high
