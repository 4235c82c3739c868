"""Proves that the commands to reproduce Table 1 are usable and those of the document, and how the table is filled."""

import importlib
import json
import re
import shlex

from experiments.common import ROOT
from experiments.kits19_paper import run
from kits_tf.cli import app


def test_the_commands_are_those_of_the_document():
    page = (ROOT / "docs/how-to/reproduce_table_1.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```\n(kits-download.*?)^```", page, re.DOTALL | re.MULTILINE)
    documented = [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]
    assert [[name, *sorted(flags)] for name, *flags in documented] == [
        [f"kits-{name}", *sorted(flags)] for name, *flags in run.commands("kits19")
    ]


def test_each_command_reads_what_those_before_wrote():
    written = set()
    for name, *words in run.commands("x"):
        command = importlib.import_module(f"kits_tf.cli.{name}")
        app.parse(command.FLAGS, [f"kits-{name}", *words])
        flags = dict(word.removeprefix("--").partition("=")[::2] for word in words)
        read = {flags[key] for key in ("input", "data_dir", "predictions", "references", "images") if key in flags}
        assert read <= written, name
        written |= {flags[key] for key in ("output_dir", "checkpoint_dir", "output") if key in flags}
    assert "x/scores.json" in written


def test_the_table_is_that_of_the_result_and_filled_from_scores(tmp_path):
    text = run.README.read_text(encoding="utf-8")
    result = json.loads(run.README.with_name("result.json").read_text(encoding="utf-8"))
    assert f"{run.MARK}{run.table(result)}{run.MARK}" in text
    numbers = {"mean": 0.95, "low": 0.9, "high": 0.97, "median": 0.96}
    scores = {"cases": {"a": {}, "b": {}}, "summary": {metric: numbers for metric in run.METRICS}}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    (tmp_path / "README.md").write_text(text)
    for _ in range(2):
        run.fill(tmp_path / "scores.json", tmp_path / "result.json", tmp_path / "README.md")
    assert json.loads((tmp_path / "result.json").read_text())["cases"] == 2
    row = "| kits-tf, preset `paper` | 2 | 0.9500 (0.9000 to 0.9700) | 0.9500 (0.9000 to 0.9700) |\n"
    assert (tmp_path / "README.md").read_text().count(row) == 1
    of_one = {"kidney_dice": {"mean": 0.95, "low": None, "high": None}, "tumor_dice": dict.fromkeys(numbers)}
    assert "| 1 | 0.9500 | - |" in run.table({"cases": 1, "scores": of_one})
    assert "| Lee et al. 2019, Table 1 | 27 | 0.9610 | 0.7080 |\n" in (tmp_path / "README.md").read_text()
