"""Keras callbacks that write and show a run: `history.csv`, progress, TensorBoard; and the curves at its end.

Batches are steps, numbered from 1; epochs are compiled calls, numbered by their last step; tests are validations.
"""

from __future__ import annotations

import io
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from kits_tf import files

HISTORY_NAME, VALIDATION_NAME, CURVES_NAME = "history.csv", "validation.csv", "curves.png"
TENSORBOARD_FOLDER = "tensorboard"
LINE_SECONDS, CURVE_POINTS = 15.0, 400


class HistoryLogger(keras.callbacks.Callback):
    """Write learning rate and losses to `history.csv`, one row a step, without those beyond the resumed `step`."""

    def __init__(self, folder: pathlib.Path, step: int) -> None:
        super().__init__()
        self._path = folder / HISTORY_NAME
        self._rows: list[dict[str, Any]] = []
        drop_rows(self._path, step)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        first = {"step": batch, "learning_rate": 0.0, "loss": 0.0}  # the first columns; Keras sorts the logs
        self._rows.append(first | dict(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        append_rows(self._path, self._rows)
        self._rows = []


class ProgressLogger(keras.callbacks.Callback):
    """Show step, losses, score, speed and time left of a run that resumes at `step`: a bar, or lines in a log."""

    def __init__(self, name: str, step: int, total: int) -> None:
        super().__init__()
        self._name, self._score, self._is_terminal = name, dict[str, str](), sys.stderr.isatty()
        options: dict[str, Any] = {"file": sys.stderr}
        if not self._is_terminal:
            form = "{desc}: step {n_fmt}/{total_fmt}{postfix}, {rate_noinv_fmt}, {remaining} left"
            options = {"file": io.StringIO(), "bar_format": form}
        self._bar = tqdm(desc=name, initial=step, total=total, unit=" steps", smoothing=0, **options)
        self._printed_at = 0.0  # the first call, which compiles the step, is shown at once

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._bar.set_postfix({k: f"{v:.4f}" for k, v in (logs or {}).items()} | self._score, refresh=False)
        self._bar.update(epoch - self._bar.n)
        is_last = self._bar.n == self._bar.total
        if not self._is_terminal and (is_last or time.monotonic() - self._printed_at > LINE_SECONDS):
            self._printed_at = time.monotonic()
            print(" ".join(str(self._bar).split()), flush=True)

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        values = dict(logs or {})
        step, best, best_step = (int(values.pop("step")), values.pop("best"), int(values.pop("best_step")))
        self._score = {name: f"{value:.4f}" for name, value in values.items()}
        score = " ".join(f"{name} {value}" for name, value in self._score.items())
        line = f"{self._name}: step {step}, validation {score}, best {best:.4f} at step {best_step}"
        with tqdm.external_write_mode():
            print(line, flush=True)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._bar.close()


class TensorBoardLogger(keras.callbacks.Callback):
    """Write losses and scores for TensorBoard; Keras' own callback needs a compiled model."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(folder / TENSORBOARD_FOLDER))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._write("training", epoch, logs or {})

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        values = dict(logs or {})
        self._write("validation", int(values.pop("step")), values)

    def _write(self, group: str, step: int, values: Mapping[str, float]) -> None:
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._writer.close()


def drop_rows(path: pathlib.Path, step: int) -> None:
    """Drop the rows of a CSV file beyond a step, and a last row that is incomplete; without rows, drop the file."""
    if not path.is_file():
        return
    header, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
    kept = [line for line in lines if line.endswith("\n") and int(line.split(",")[0]) <= step]
    if not kept:
        path.unlink()
    elif kept != lines:
        files.write_text(path, header + "".join(kept))


def append_rows(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to a CSV file, with a header if it is new; numbers have all digits of a float32."""
    with files.naming(path):
        pd.DataFrame(rows).to_csv(path, mode="a", header=not path.is_file(), index=False, float_format="%.9g")


def draw_curves(folder: pathlib.Path) -> bool:
    """Draw `curves.png` unless it is newer than `history.csv`; return whether that could be done (by matplotlib)."""
    picture, log = folder / CURVES_NAME, folder / HISTORY_NAME
    if picture.is_file() and picture.stat().st_mtime_ns >= log.stat().st_mtime_ns:
        return True
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    history = pd.read_csv(log, index_col="step")
    smooth = history.rolling(max(1, len(history) // CURVE_POINTS), min_periods=1).mean()
    panels = {"Training losses": smooth.drop(columns="learning_rate"), "Learning rate": history[["learning_rate"]]}
    if (folder / VALIDATION_NAME).is_file():
        panels["Validation"] = pd.read_csv(folder / VALIDATION_NAME, index_col="step").iloc[:, :1]
    figure = Figure(figsize=(8, 3 * len(panels)), layout="constrained")
    for axes, (title, table) in zip(figure.subplots(len(panels), sharex=True), panels.items(), strict=True):
        axes.plot(table, label=list(table.columns), marker="o" if title == "Validation" else "", markersize=3)
        axes.set(title=title, xlabel="step", yscale="log" if title == "Training losses" else "linear")
        axes.legend()
    figure.suptitle(folder.name)
    with files.replacing(picture) as temporary:
        figure.savefig(temporary)
    return True
