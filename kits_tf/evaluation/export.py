"""Scores as files that spreadsheets and documents take: CSV and Markdown."""

import csv
import io

from kits_tf.evaluation.metrics import METRICS
from kits_tf.evaluation.table import NAMES, NOTE, shown, summary_rows


def csv_text(cases, detections=None):
    """One row a case, a column a metric; an undefined number is an empty cell.

    Args:
        cases: {id: scores}.
        detections: {id: as `lesions.detect` gives it}, or None.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    counts = ("tumors", "tumors_found", "false_tumors") if detections else ()
    writer.writerow(["case", *METRICS, *counts])
    for name, scores in cases.items():
        row = [name, *("" if scores[metric] is None else scores[metric] for metric in METRICS)]
        if detections:
            found = detections[name]
            row += [len(found["tumors"]), sum(tumor["found"] for tumor in found["tumors"]), len(found["false"])]
        writer.writerow(row)
    return stream.getvalue()


def markdown_text(cases, summary, remarks=()):
    """The table of the terminal as Markdown.

    Args:
        cases: {id: scores}.
        summary: as `statistics.summarize` gives it.
        remarks: lines about these predictions, under those about the columns.
    """
    rows = [(name, shown(scores)) for name, scores in [*cases.items(), *summary_rows(summary, len(cases))]]
    lines = [["", *(NAMES[metric] for metric in METRICS)], ["---", *("---:" for _ in METRICS)]]
    lines += [[_plain(name), *(cells.get(metric, "") for metric in METRICS)] for name, cells in rows]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    notes = "\n".join(f"- {line}" for line in [*NOTE.splitlines(), *map(_plain, remarks)])
    return f"{table}\n\n{notes}\n"


def _plain(name):
    """A case's name as text: none of Markdown's signs does anything."""
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]<>()#+!|" else sign for sign in name)
