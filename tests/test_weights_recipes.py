"""The recipes of released weights name commands with usable flags, in the paper's order, on cases apart."""

import importlib

import pytest

from experiments import four_networks, train_phantom, train_simulated
from kits_tf.cli import app
from kits_tf.dataset import kits19

RECIPES = {
    "phantom": train_phantom.RECIPE,
    "simulated": train_simulated.recipe(["--anatomy=organs.nii.gz", "--legend=organs.json"], 20),
}


@pytest.fixture(params=sorted(RECIPES))
def commands(request, tmp_path, monkeypatch):
    """The commands of a recipe, list of (name, flags), none of them run."""
    seen = []
    monkeypatch.setattr(four_networks, "command", lambda name, *flags, **variables: seen.append((name, list(flags))))
    monkeypatch.setattr(four_networks, "copy", lambda source, target: None)
    four_networks.make(RECIPES[request.param], tmp_path, tmp_path / "out", options=["--set=num_steps=3"])
    return seen


def test_every_command_has_usable_flags(commands):
    for name, flags in commands:
        module = importlib.import_module(f"kits_tf.cli.{name}")
        assert app.parse(module.FLAGS, [f"kits-{name}", *flags]) is None


def test_the_kidneys_are_found_between_both_stages(commands):
    names = [name for name, _ in commands if name != "phantom"]
    assert names == ["prepare", "prepare", "train", "train", "train", "predict", "train"]
    assert any(flag.startswith("--kidney_masks=") for flag in commands[-1][1])


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_some_of_the_tumor_networks_cases_are_new_to_the_kidney_networks(name):
    kidney, tumor = (set(kits19.parse_cases(RECIPES[name].cases[stage])) for stage in ("kidney", "tumor"))
    assert kidney and len(tumor - kidney) >= len(tumor) // 3


def test_simulations_number_their_cases_once():
    made = []
    for flags in RECIPES["simulated"].simulations:
        values = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
        first = int(values.get("first_case", 0))
        made += range(first, first + int(values["num_cases"]))
    assert made == list(range(20))
