"""Contact sheets of CTs with outlined labels. Needs matplotlib (the extra `report`)."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor

WINDOW_HU = (-160, 240)
LABEL, KIDNEY, TUMOR, ORANGE = "#35d04f", "#ffd93b", "#ff4536", "#ff7f0e"
Plane = tuple[str, np.ndarray, float, Sequence[tuple[np.ndarray, str]]]
"""Title, HU [height, width], height of a pixel in widths, outlines (mask, color)."""


def cut(volume: np.ndarray, axis: int, index: int, spacing_mm: Sequence[float]) -> tuple[np.ndarray, float]:
    """Return a plane of a volume, [height, width], and the height of its pixels in widths."""
    height, width = (size for number, size in enumerate(spacing_mm) if number != axis)
    return volume.take(index, axis), height / width


def draw_sheet(rows: Sequence[Sequence[Plane]], path: pathlib.Path) -> None:
    """Save rows of planes as a PNG."""
    from matplotlib.figure import Figure

    columns = max(map(len, rows))
    height = max(aspect * hu.shape[0] / hu.shape[1] for row in rows for _, hu, aspect, _ in row)
    figure = Figure(figsize=(3 * columns, (3 * height + 0.25) * len(rows)), facecolor="black", layout="tight")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for row, places in zip(rows, grid, strict=True):
        for axes, (title, hu, aspect, outlines) in zip(places, row, strict=False):
            axes.imshow(hu, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], aspect=aspect)
            for mask, color in outlines:
                if mask.any():
                    axes.contour(mask, [0.5], colors=color, linewidths=0.8)
            axes.set_title(title, color="white", fontsize=8, pad=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = io.BytesIO()
    figure.savefig(sheet, dpi=70)
    colors = {color for row in rows for *_, outlines in row for _, color in outlines}
    in_few_colors(Image.open(sheet).convert("RGB"), sorted(colors)).save(path, optimize=True)
    print(path)


def in_few_colors(image: Image.Image, colors: Sequence[str]) -> Image.Image:
    """Return a picture in 64 greys and shades of some colors, half the size as a PNG."""
    values: list[tuple[int, ...]] = [(round(255 * i / 63),) * 3 for i in range(64)]
    for color in map(ImageColor.getrgb, colors):
        values += [tuple(round(share * part) for part in color[:3]) for share in (1.0, 0.75, 0.5)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for value in values for part in value])
    return image.quantize(palette=palette, dither=Image.Dither.NONE)
