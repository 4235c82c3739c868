"""The generated pages, and the generated parts of model cards, agree with the code and the released configs."""

import dataclasses
import json
import pathlib
import re

import pytest

from docs import generate
from kits_tf import checkpoint, config
from kits_tf.config import preset


@pytest.mark.parametrize("path", generate.PAGES, ids=lambda path: path.name)
def test_page_is_current(path: pathlib.Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.PAGES[path](), "run `python -m docs.generate`"


def test_the_card_tells_every_option_that_differs_from_the_paper() -> None:
    """But for the extents of augmentation where there is none."""
    card = generate.CARD.read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in card.splitlines() if line.startswith("| `")]
    for name in checkpoint.network_names():
        own = json.loads((generate.CARD.parent / name / checkpoint.CONFIG_NAME).read_text(encoding="utf-8"))
        stage, _, plane = name.partition("_")
        paper = dataclasses.asdict(preset("paper", stage, plane or None))
        for option in (option for option in own if own[option] != paper[option]):
            told = [row[3] for row in rows if row[0] == f"| `{option}`" and row[1] in ("all", stage, name)]
            is_off = not own["augment"] and option.startswith(("max_", "elastic")) and "tumor" not in option
            assert is_off or told == [generate.shown(own[option])], option


def test_the_extents_of_augmentation_that_is_off_are_no_differences() -> None:
    paper = generate.preset_configs("paper")
    own = {name: dataclasses.replace(paper[name], augment=name == "tumor", max_scaling=0.25) for name in paper}
    rows = [line.split(" | ")[:4] for line in generate.differences({"paper": paper, "own": own}).splitlines()[2:]]
    assert rows == [
        ["| `augment`", "kidney", "true", "false"],
        ["| `augment`", "tumor", "true", "true"],
        ["| `max_scaling`", "tumor", "0.1", "0.25"],
    ]


def test_the_comments_of_options_are_those_behind_them() -> None:
    kinds = (config.Config, config.KidneyConfig, config.TumorConfig)
    found = {name: text for kind in kinds for name, text in generate.field_comments(kind).items()}
    assert found["patch_columns"] == "see patch_rows"
    assert {name for name, text in found.items() if not text} <= set(config.FIXED)


def test_flags_that_are_required_only_sometimes_are_marked() -> None:
    assert "| `--data_dir` | required unless `--list_options` |" in generate.commands_page()


def test_every_console_script_has_a_section() -> None:
    metadata = pathlib.Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r"^kits-(\w+) = ", metadata, re.MULTILINE) == generate.COMMANDS
