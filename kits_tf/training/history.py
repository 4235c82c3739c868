"""`history.csv`: one row a step, without gaps or repeats however often the run was stopped."""

import csv
import io
import pathlib

from kits_tf import files
from kits_tf.training.schedules import make_schedule
from kits_tf.training.watcher import Watcher


class History:
    """Appends rows to `history.csv`; rows beyond the step that a run continues from are dropped first.

    Args:
        path: the file.
        step: the last step that is done; 0 at the start.
    """

    def __init__(self, path, step):
        self._path = pathlib.Path(path)
        self._header, rows = read_rows(self._path)
        if rows or step == 0:
            kept = [row for row in rows if int(row[0]) <= step]
            if kept:
                self._rewrite(to_text([self._header, *kept]))
            else:
                self._path.unlink(missing_ok=True)
                self._header = None

    def _rewrite(self, text):
        if self._path.read_text(encoding="utf-8") != text:
            files.write_text(self._path, text)

    def append(self, rows):
        """Writes rows at once.

        Args:
            rows: list of dicts with the same keys, "step" first.
        """
        if self._header is None:
            self._header = list(rows[0])
            files.write_text(self._path, to_text([self._header]))
        with files.naming(self._path), open(self._path, "a", newline="", encoding="utf-8") as file:
            file.write(to_text([[format_number(row[name]) for name in self._header] for row in rows]))


class LossRows(Watcher):
    """Writes the losses of every step to `history.csv`.

    Args:
        history: a History.
        config: a KidneyConfig or TumorConfig, for the learning rate of a step.
    """

    def __init__(self, history, config):
        self._history = history
        self._rate = make_schedule(config)

    def losses(self, step, names, values):
        """Rows of the steps after `step`; step 1 is the first."""
        self._history.append(
            [
                {
                    "step": step + i + 1,
                    "learning_rate": float(self._rate(step + i)),
                    **{name: float(v) for name, v in zip(names, value, strict=True)},
                }
                for i, value in enumerate(values)
            ]
        )


def read_rows(path):
    """(header, whole rows) of a history file; (None, []) if there is none. A row cut off by a kill is left out."""
    if not path.is_file():
        return None, []
    text = path.read_text(encoding="utf-8")
    lines = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    if not lines:
        return None, []
    return lines[0], [row for row in lines[1:] if len(row) == len(lines[0])]


def to_text(rows):
    """Rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def format_number(value):
    """Whole numbers as they are, others with all digits that a float32 has."""
    return str(value) if isinstance(value, int) else f"{value:.9g}"
