"""`curves.png`: the losses and the validation's Dice over the steps."""

import pathlib

import numpy as np

from kits_tf import files
from kits_tf.training import scores
from kits_tf.training.history import read_rows

NAME, LOSSES = "curves.png", "history.csv"
POINTS = 400  # a curve is the mean over about that many stretches of steps


def is_drawn(folder):
    """Whether the picture is there and no older than the losses."""
    picture, losses = pathlib.Path(folder) / NAME, pathlib.Path(folder) / LOSSES
    newest = losses.stat().st_mtime_ns if losses.is_file() else 0
    return picture.is_file() and picture.stat().st_mtime_ns >= newest


def draw(folder):
    """Draws the curves of a network's folder; returns whether it was done: matplotlib may be missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    folder = pathlib.Path(folder)
    losses, validation = (read_columns(folder / name) for name in (LOSSES, scores.NAME))
    figure = Figure(figsize=(8, 7 if validation else 4), dpi=100, layout="constrained")
    axes = figure.subplots(2 if validation else 1, sharex=True, squeeze=False)[:, 0]
    for name in [name for name in losses if name not in ("step", "learning_rate")]:
        axes[0].plot(*thinned(losses["step"], losses[name]), label=name, linewidth=1)
    axes[0].set(ylabel="loss", yscale="log")
    axes[0].legend()
    if validation:
        name = list(validation)[1]
        axes[1].plot(validation["step"], validation[name], marker="o", markersize=3)
        axes[1].set(ylabel=f"validation {name}", ylim=(0, 1))
    axes[-1].set_xlabel("step")
    with files.replacing(folder / NAME) as temporary:
        figure.savefig(temporary)
    return True


def read_columns(path):
    """{column: float array} of a CSV file; empty if there is none."""
    header, rows = read_rows(path)
    return dict(zip(header, np.array(rows, float).T, strict=True)) if rows else {}


def thinned(steps, values):
    """Means over stretches of equal length: (steps, values), about POINTS of each."""
    length = max(1, len(steps) // POINTS)
    count = len(steps) // length
    return tuple(np.reshape(column[: count * length], (count, length)).mean(axis=1) for column in (steps, values))
