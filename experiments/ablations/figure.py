"""Draw the paired differences of all questions with their intervals. Needs matplotlib (the extra `report`).

python -m experiments.ablations.figure
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from experiments import common
from experiments.ablations import summary
from experiments.ablations.variants import QUESTIONS

PICTURE = common.ROOT / "docs" / "images" / "ablations.png"
COLORS = {"better": "#2c7fb8", "worse": "#d7301f", "unclear": "#777777"}


def draw(rows: Sequence[summary.Row], path: pathlib.Path) -> None:
    """Save a picture: a line for each variant, a dot for its difference, small dots for those of the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.8 + 0.26 * len(rows)), layout="tight")
    axes: Any = figure.subplots()
    for place, row in enumerate(rows):
        if row.difference is None:
            axes.axhline(place, color="#dddddd", linewidth=0.8)
            continue
        color = COLORS[row.finding]
        low, high = row.difference_interval
        if low is not None:
            axes.plot([low, high], [place, place], color=color, linewidth=2)
        axes.plot(row.by_seed, [place] * len(row.by_seed), ".", color=color, markersize=4, alpha=0.6)
        axes.plot(row.difference, place, "o", color=color, markersize=6)
    axes.axvline(0, color="black", linewidth=0.8)
    labels = [f"{row.question}: {row.variant}" + (" (reference)" if row.difference is None else "") for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.invert_yaxis()
    figure.supxlabel("difference in Dice from the reference: mean and 95 % interval; small dots: seeds", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, metadata={"Software": None})


def main() -> None:
    """Draw the recorded result."""
    result = summary.recorded()
    draw([row for name in QUESTIONS for row in summary.rows(result, name)], PICTURE)
    print(PICTURE)


if __name__ == "__main__":
    main()
