"""Proves that the documents name only commands, flags, targets and files that exist."""

import importlib
import pathlib
import re
import shlex

import pytest

from kits_tf.cli import app
from kits_tf.errors import UsageError

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "checkpoints/**/*.md")
    for path in ROOT.glob(pattern)
)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def code_of(text):
    """The fenced blocks without a language, that is, commands; continued lines joined."""
    blocks = re.findall(r"^```(\S*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return "\n".join(block for language, block in blocks if not language).replace("\\\n", " ")


def command_lines(text):
    """The lines that start one of this package's commands, as lists of words."""
    lines = (re.sub(r"^.*?(?=kits-)", "", line.strip()) for line in text.splitlines() if "kits-" in line)
    return [words for words in map(shlex.split, lines) if words and words[0].startswith("kits-")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_lead_somewhere(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (ROOT / path.parent / target).exists(), target


@pytest.mark.parametrize(
    "words", [w for p in DOCUMENTS for w in command_lines(code_of((ROOT / p).read_text()))], ids=" ".join
)
def test_documented_commands_have_usable_flags(words):
    command = importlib.import_module(f"kits_tf.cli.{words[0].removeprefix('kits-')}")
    words = [word for word in words if word != "..."]
    try:
        app.parse(command.FLAGS, words)
    except UsageError as error:
        assert "is required" in str(error)


def demo_commands():
    """The commands of `make demo`, as lists of words."""
    recipe = MAKEFILE[MAKEFILE.index("\ndemo:") : MAKEFILE.index("\ntest:")]
    return command_lines(recipe.replace("\\\n", " "))


def test_the_demos_commands_have_usable_flags():
    commands = demo_commands()
    assert [words[0] for words in commands] == ["kits-simulate", "kits-predict", "kits-evaluate", "kits-report"]
    for words in commands:
        app.parse(importlib.import_module(f"kits_tf.cli.{words[0][5:]}").FLAGS, words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_commands_and_targets_exist(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    for command in re.findall(r"\bkits-([a-z]+)\b(?!\[)", text):
        assert command == "tf" or (ROOT / "kits_tf" / "cli" / f"{command}.py").is_file(), command
    for target in re.findall(r"`make ([a-z]+)", text) + re.findall(r"^make ([a-z]+)", code_of(text), re.MULTILINE):
        assert f"\n{target}:" in MAKEFILE, target
