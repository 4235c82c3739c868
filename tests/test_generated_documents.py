"""The generated pages of docs/reference agree with the code."""

import pathlib
import re

import pytest

from docs import generate


@pytest.mark.parametrize("path", generate.PAGES, ids=lambda path: path.name)
def test_page_is_current(path: pathlib.Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.PAGES[path](), "run `python -m docs.generate`"


def test_every_console_script_has_a_section() -> None:
    metadata = pathlib.Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r"^kits-(\w+) = ", metadata, re.MULTILINE) == generate.COMMANDS
