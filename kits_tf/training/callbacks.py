"""Keras callbacks that record and show a run: `history.csv`, progress and TensorBoard; and its loss curves.

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
from kits_tf.checkpoint import HISTORY_NAME, VALIDATION_NAME
from kits_tf.progress import counted

CURVES_NAME = "curves.png"
TENSORBOARD_FOLDER = "tensorboard"
LINE_SECONDS, ESTIMATE_SECONDS = 15.0, 10.0
CURVE_POINTS = 400  # smoothing averages over this fraction of the steps


class HistoryLogger(keras.callbacks.Callback):
    """Write learning rate and losses to `history.csv`, one row per step; rows after the resumed `step` are dropped."""

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
    """Show step, losses, score, speed and time left of a run of `total` steps: a bar, or lines in a log.

    Speed and time left exclude the first call, which compiles the step.
    """

    def __init__(self, name: str, total: int) -> None:
        super().__init__()
        self._name, self._total, self._scores = name, total, dict[str, float]()
        self._started_at = self._printed_at = time.monotonic()
        self._bar: tqdm | None = None  # until the step is compiled
        self._is_estimated = False

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        numbers = {"loss": 0.0, **(logs or {}), **self._scores}  # Keras sorts the logs
        values = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        now = time.monotonic()
        if self._bar is None:
            seconds = now - self._started_at
            self._print(f"step {epoch}/{self._total}, {values}, compiled in {seconds:.0f} s")
            self._started_at = self._printed_at = now
            self._bar = self._make_bar(epoch)
            return
        self._bar.set_postfix_str(values, refresh=False)
        self._bar.update(epoch - self._bar.n)
        is_last = epoch == self._total
        if not is_last and not self._is_estimated and now - self._started_at > ESTIMATE_SECONDS:
            self._is_estimated = True
            self._print(estimate(epoch - int(self._bar.initial), self._total - epoch, now - self._started_at))
        if self._bar.fp is not sys.stderr and (is_last or now - self._printed_at > LINE_SECONDS):
            self._printed_at = now
            print(" ".join(str(self._bar).split()), flush=True)

    def _make_bar(self, step: int) -> tqdm:
        options: dict[str, Any] = {"file": sys.stderr}
        if not sys.stderr.isatty():
            form = "{desc}: step {n_fmt}/{total_fmt}{postfix}, {rate_noinv_fmt}, {remaining} left"
            options = {"file": io.StringIO(), "bar_format": form}
        return tqdm(desc=self._name, initial=step, total=self._total, unit=" steps", smoothing=0, **options)

    def _print(self, text: str) -> None:
        """Print a line above the bar."""
        with tqdm.external_write_mode():
            print(f"{self._name}: {text}", flush=True)

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        values = dict(logs or {})
        step, best, best_step = (int(values.pop("step")), values.pop("best"), int(values.pop("best_step")))
        self._scores = {f"validation {name}": value for name, value in values.items()}
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self._scores.items())
        self._print(f"step {step}, {scores}, best {best:.4f} at step {best_step}")

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        if self._bar is not None:
            self._bar.close()


def estimate(steps: int, left: int, seconds: float) -> str:
    """Return in words how long `left` more steps will take, after `steps` took `seconds`.

    Example:
        >>> estimate(steps=50, left=90_000, seconds=10.0)
        'about 5 hours for the other 90000 steps, at 5 steps a second'
        >>> estimate(steps=1, left=1, seconds=10.0)
        'less than a minute for the last step, at 0.1 steps a second'
    """
    rate = steps / seconds
    hours = left / rate / 3600
    number, unit = (hours / 24, "day") if hours >= 48 else (hours, "hour") if hours >= 1 else (60 * hours, "minute")
    rounded = f"{round(number, 1 if hours >= 1 else 0):g}"
    time_left = "less than a minute" if rounded == "0" else f"about {counted(rounded, unit)}"
    steps_left = "last step" if left == 1 else f"other {left} steps"
    return f"{time_left} for the {steps_left}, at {counted(f'{rate:.2g}', 'step')} a second"


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


def rows_until(path: pathlib.Path, step: int) -> list[str]:
    """Return the lines of a CSV file up to a step, without the header and a last row that is incomplete."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:] if path.is_file() else []
    return [line for line in lines if line.endswith("\n") and int(line.split(",")[0]) <= step]


def drop_rows(path: pathlib.Path, step: int) -> None:
    """Reduce a CSV file to `rows_until` a step; delete it if there are none."""
    rows = rows_until(path, step)
    if not rows:
        path.unlink(missing_ok=True)
        return
    header = path.read_text(encoding="utf-8").partition("\n")[0]
    files.update_text(path, "\n".join([header, "".join(rows)]))


def append_rows(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to a CSV file, with a header if it is new; numbers keep the precision of float32."""
    with files.naming(path):
        pd.DataFrame(rows).to_csv(path, mode="a", header=not path.is_file(), index=False, float_format="%.9g")


def draw_curves(folder: pathlib.Path) -> bool:
    """Draw `curves.png` unless it is newer than `history.csv`; return False if matplotlib is missing."""
    picture, log = folder / CURVES_NAME, folder / HISTORY_NAME
    if picture.is_file() and picture.stat().st_mtime_ns >= log.stat().st_mtime_ns:
        return True
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    history = pd.read_csv(log, index_col="step")
    rate, losses = history.pop("learning_rate"), history
    window = max(1, len(losses) // CURVE_POINTS)
    smooth = losses.rolling(window, min_periods=1).mean()
    validation = folder / VALIDATION_NAME
    heights = [3, 2, 1] if validation.is_file() else [3, 1]
    figure = Figure(figsize=(10, 1.5 * sum(heights)), layout="constrained")
    top, *middle, bottom = figure.subplots(len(heights), sharex=True, height_ratios=heights)
    for name in losses:
        [line] = top.plot(smooth[name], label=f"{name} {smooth[name].iloc[-1]:.4g}")
        top.plot(losses[name], color=line.get_color(), alpha=0.15, linewidth=0.5, zorder=0)
    top.set(title=f"Training losses, means over {window} steps", ylabel="loss", yscale="log")
    for axes in middle:
        scores = pd.read_csv(validation, index_col="step")
        mean = scores.iloc[:, 0]
        axes.plot(scores.iloc[:, 1:], color="gray", alpha=0.3, linewidth=0.7)
        axes.plot(mean, marker="o", markersize=3, label=f"{mean.name}, mean of {scores.shape[1] - 1} cases (gray)")
        axes.plot(mean.idxmax(), mean.max(), "k*", label=f"best: {mean.max():.4f} at step {mean.idxmax()}")
        axes.set(title="Validation on whole CTs", ylabel="Dice")
    bottom.plot(rate, color="black")
    bottom.set(title="Learning rate", xlabel="step")
    bottom.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    for axes in (top, *middle):
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    figure.suptitle(folder.name)
    with files.replacing(picture) as temporary:
        figure.savefig(temporary)
    return True
