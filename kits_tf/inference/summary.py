"""All cases of a run in one table: a CSV beside the labels, and lines for the terminal."""

import csv
import io
import pathlib

from kits_tf import files
from kits_tf.evaluation import matching

COLUMNS = ("input", "output", "status", "kidney_ml", "tumor_ml", "tumors", "slices", "seconds", "reason")


def row(source, output_dir, status, reason=""):
    """One line of the table, from a case's JSON where there is one.

    Args:
        source: an `inputs.Input`.
        output_dir: the folder of labels and JSONs.
        status: "written", "already written" or "failed".
        reason: why it failed.
    """
    found = {} if status == "failed" else matching.read_sidecar(pathlib.Path(output_dir) / source.output_name)
    found = {key: value for key, value in found.items() if value is not None}  # null was not looked for
    shape, seconds, tumors = (found.get(key) for key in ("shape", "seconds", "tumors"))
    return {
        "input": source.name,
        "output": "" if status == "failed" else source.output_name,
        "status": status,
        "kidney_ml": found.get("kidney_ml", ""),
        "tumor_ml": found.get("tumor_ml", ""),
        "tumors": len(tumors) if isinstance(tumors, list) else "",
        "slices": shape[0] if isinstance(shape, list) and shape else "",
        "seconds": seconds.get("total", "") if isinstance(seconds, dict) else "",
        "reason": reason,
    }


def tells(path, rows):
    """Whether a CSV that is there says the same as a table's rows, but for which of the CTs were written just then."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            there = [line | {"status": line.get("status") == "failed"} for line in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error):
        return False
    texts = [{column: str(value) for column, value in row.items()} for row in rows]
    return there == [text | {"status": text["status"] == "failed"} for text in texts]


def write_csv(rows, path):
    """Writes the table as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())


def lines(rows):
    """The table for a terminal, columns aligned; without the reasons, which were said when they came up."""
    shown = [column for column in COLUMNS if column not in ("output", "reason")]
    cells = [shown, *([str(row[column]) for column in shown] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(shown))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
