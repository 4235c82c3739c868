"""The recipes of released weights name commands with usable flags, in the paper's order, on cases apart."""

import dataclasses
import importlib
import pathlib

import pytest

from experiments import four_networks, phantom_suites, train_phantom, train_simulated
from kits_tf.cli import app
from kits_tf.data import kits19
from kits_tf.simulation.phantom import simulation

RECIPES = {
    "phantom": train_phantom.LONG,
    "phantom, short": train_phantom.SHORT,
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
        app.parse(module.FLAGS, [f"kits-{name}", *flags])


def test_the_kidneys_are_found_between_both_stages(commands):
    names = [name for name, _ in commands if name != "phantom"]
    found = names.index("predict")
    stages = [values(flags, "stage") for name, flags in commands if name == "train"]
    before, after = names[:found].count("train"), len(names) - found - 1
    prepared = names.count("prepare")
    assert prepared >= 2 and names[:found] == ["prepare"] * prepared + ["train"] * before and before >= 3
    assert names[found + 1 :] == ["train"] * after and after >= 1
    assert stages == [["kidney"]] * before + [["tumor"]] * after
    assert any(flag.startswith("--kidney_masks=") for flag in commands[-1][1])


def values(flags, name):
    """What a flag is given, list of str."""
    return [flag.partition("=")[2] for flag in flags if flag.startswith(f"--{name}=")]


def test_refined_networks_start_from_the_first_and_are_the_ones_used(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(four_networks, "command", lambda name, *flags, **variables: seen.append((name, list(flags))))
    monkeypatch.setattr(four_networks, "copy", lambda source, target: seen.append(("copy", source)))
    four_networks.make(RECIPES["phantom"], tmp_path, tmp_path / "out")
    trained = [flags for name, flags in seen if name == "train"]
    assert [values(flags, "stage") for flags in trained] == [["kidney"]] * 9 + [["tumor"]] * 4
    folders = [values(flags, "checkpoint_dir")[0] for flags in trained]
    first, refined, again, last = folders[-4:]
    assert folders == [first] * 3 + [refined] * 3 + [again] * 3 + [first, refined, again, last]
    assert len({first, refined, again, last}) == 4
    starts = [values(flags, "pretrained") for flags in trained]
    assert starts == [[]] * 3 + [[first]] * 3 + [[refined]] * 3 + [[], [first], [refined], [again]]
    cases = [pathlib.Path(values(flags, "data_dir")[0]).name for flags in trained]
    assert cases == ["kidney"] * 9 + ["tumor"] + ["tumor_refined"] * 3
    [found] = [flags for name, flags in seen if name == "predict"]
    assert values(found, "checkpoint_dir") == [refined]
    copied = [str(source.parent) for name, source in seen if name == "copy"]
    assert copied == [again] * 3 + [last]


def test_the_tumor_network_is_refined_on_cases_whose_kidneys_were_found():
    recipe = RECIPES["phantom"]
    refined = kits19.parse_cases(recipe.cases["tumor_refined"])
    assert set(refined) < set(kits19.parse_cases(recipe.cases["tumor"])) and len(refined) > 240


def test_cases_in_some_phases_are_those_simulated_so(monkeypatch):
    """The phase is read off the materials that the simulation makes."""
    drawn = []

    def note(rng, phase):
        drawn.append(phase)
        raise StopIteration

    monkeypatch.setattr(simulation, "Materials", note)
    suite = dataclasses.replace(phantom_suites.TRAINING, num_cases=8)
    for case in range(8):
        with pytest.raises(StopIteration):
            simulation.simulate(seed=suite.seed, case_index=case, **suite.options)
    for phase in suite.phases:
        expected = [case for case, found in enumerate(drawn) if found == phase]
        assert suite.cases_in((phase,)) == ",".join(map(str, expected))


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_some_of_the_tumor_networks_cases_are_new_to_the_kidney_networks(name):
    kidney, tumor = (set(kits19.parse_cases(RECIPES[name].cases[stage])) for stage in ("kidney", "tumor"))
    assert kidney and len(tumor - kidney) >= len(tumor) // 4


def test_simulations_number_their_cases_once():
    made = []
    for flags in RECIPES["simulated"].simulations:
        given = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
        first = int(given.get("first_case", 0))
        made += range(first, first + int(given["num_cases"]))
    assert made == list(range(20))
