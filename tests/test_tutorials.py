"""Prove that the commands of the tutorials follow each other, at a step of training and in networks of two filters."""

import importlib
import re
import shlex
import shutil

import pytest

from kits_tf.cli import app, recipe
from tests import planted
from tests.test_documents import code_of, text_of

SMALL = ("--set=base_filters=2", "--set=depth=1")
ADDED = {
    "kits-simulate": ("--num_cases=3", "--size=64", "--workers=1"),
    "kits-recipe": SMALL,
    "kits-train": SMALL,
    "kits-predict": ("--engine=tensorflow",),
}
"""Flags that save time; converting networks to OpenVINO takes half a minute."""


def run(words):
    """Run a command of this package in this process; return its exit code."""
    command = importlib.import_module(f"kits_tf.cli.{words[0].removeprefix('kits-')}")
    return app.execute(command.main, command.FLAGS, words)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A folder to work in, with the CT that `make demo` leaves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipe, "run_command", run)
    planted.write_case(tmp_path / "demo" / "ct", 1)
    return tmp_path


@pytest.mark.parametrize(
    "name, last",
    [("first_segmentation", "segmented/scan_segmentation.html"), ("train_on_simulated_ct", "report/index.html")],
)
def test_commands_run_in_order(name, last, home):
    text = re.sub(r"num_steps=\d+", "num_steps=1", code_of(text_of(f"docs/tutorials/{name}.md")))
    lines = [shlex.split(line) for line in text.splitlines() if re.match(r"(kits-\w+|cp) ", line)]
    for words in lines:
        if words[0] == "cp":
            shutil.copy(*words[1:])
        else:
            assert run([*words, *ADDED.get(words[0], ())]) == 0, words
    assert len(lines) > 2 and (home / last).is_file()
