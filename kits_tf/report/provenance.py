"""How a prediction was computed, as a table: what `kits-predict` wrote beside it."""

import json

from kits_tf import __version__
from kits_tf.report import page

NAMES = {
    "input": "input",
    "shape": "voxels (slices, rows, columns)",
    "spacing_mm": "voxel size, mm",
    "checkpoint": "weights",
    "engine": "engine",
    "precision": "precision",
    "seconds": "time, s",
    "peak_memory_mb": "peak memory, MB",
}
"""What is told first, under which name; what else is recorded follows under its own."""

_MEASURED = ("kidney_ml", "tumor_ml", "kidneys", "tumors")  # elsewhere on the page


def table(summary):
    """The table as HTML.

    Args:
        summary: the JSON beside the prediction as a dict, or None.
    """
    if not summary:
        return f"<p>Not recorded: no JSON lies beside the prediction. {_written_by()}</p>"
    keys = [key for key in NAMES if key in summary]
    keys += [key for key in summary if key not in NAMES and key not in _MEASURED and summary[key] != []]
    rows = [[NAMES.get(key, key.replace("_", " ")), plain(summary[key])] for key in keys]
    return page.table([], rows) + f'<p class="note">{_written_by()}</p>'


def plain(value):
    """A JSON value as readable text."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {plain(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        numbers = all(isinstance(entry, int | float) for entry in value)
        return (" x " if numbers else ", ").join(map(plain, value))
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return value if isinstance(value, str) else json.dumps(value)


def _written_by():
    return f"This page was written by kits-tf {__version__}."
