"""Puts an experiment's figures where they are kept: a JSON file in `results`, and a block of a page in `docs`."""

import json
import pathlib

from kits_tf import files

ROOT = pathlib.Path(__file__).resolve().parents[1]


def result_path(name):
    """Where an experiment's figures are kept: `experiments/results/NAME.json`."""
    return ROOT / "experiments" / "results" / f"{name}.json"


def write_result(name, result):
    """Writes an experiment's figures; returns their path."""
    path = result_path(name)
    files.write_text(path, json.dumps(result, indent=1) + "\n")
    return path


def replace_block(page, name, lines):
    """Replaces what stands between `<!-- NAME -->` and `<!-- end of NAME -->` on a page.

    Args:
        page: a file name in `docs`.
        name: of the block.
        lines: of Markdown.
    """
    path = ROOT / "docs" / page
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{path}: holds no block {begin} ... {end}")
    files.write_text(path, "\n".join([before + begin, "", *lines, "", end + after]))


def table(header, rows):
    """The lines of a Markdown table."""
    lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in [header, *rows]]
    return [lines[0], "| " + " | ".join("---" for _ in header) + " |", *lines[1:]]
