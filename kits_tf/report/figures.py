"""Draws panels of CT with outlines: kidney and tumor in full lines, the reference dashed. Needs matplotlib."""

import io

import numpy as np

from kits_tf.errors import UsageError
from kits_tf.report import palette

WINDOW_HU = (-160.0, 240.0)
"""The usual soft-tissue window: level 40, width 400."""

DPI = 110
_GAP_MM = 6.0
_WIDTH_INCHES = 12.5
_TITLE_INCHES = 0.28
LEGEND_INCHES = 0.34


def require_matplotlib():
    """Raises a UsageError that names the extra to install where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("output_dir", "pictures need matplotlib: pip install 'kits-tf[report]'") from None


def draw(rows, per_mm=None):
    """Draws rows of panels, all at one scale, with a legend beneath.

    Args:
        rows: list of lists of `panels.Panel`.
        per_mm: inches for a millimetre; by default the widest row fills the figure's width.

    Returns:
        The bytes of a PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    widest_mm = max(sum(panel.size_mm[1] + _GAP_MM for panel in row) - _GAP_MM for row in rows)
    per_mm = min(per_mm or np.inf, _WIDTH_INCHES / widest_mm)
    width = _WIDTH_INCHES
    heights = [max(panel.size_mm[0] for panel in row) * per_mm + _TITLE_INCHES for row in rows]
    height = sum(heights) + LEGEND_INCHES
    figure = Figure(figsize=(width, height), facecolor=palette.BACKGROUND)
    FigureCanvasAgg(figure)
    top = height
    for row, row_height in zip(rows, heights, strict=True):
        left = (width - sum((panel.size_mm[1] + _GAP_MM) * per_mm for panel in row) + _GAP_MM * per_mm) / 2
        for panel in row:
            panel_height, panel_width = (side * per_mm for side in panel.size_mm)
            bottom = top - _TITLE_INCHES - panel_height
            axes = figure.add_axes(
                (left / width, bottom / height, panel_width / width, panel_height / height), frameon=False
            )
            draw_panel(axes, panel)
            left += panel_width + _GAP_MM * per_mm
        top -= row_height
    draw_legend(figure, any(panel.reference is not None for row in rows for panel in row))
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI, facecolor=palette.BACKGROUND, metadata={"Software": None})
    return picture.getvalue()


def draw_panel(axes, panel):
    """Draws one panel into matplotlib axes."""
    height_mm, width_mm = panel.size_mm
    axes.imshow(
        panel.hu,
        cmap="gray",
        vmin=WINDOW_HU[0],
        vmax=WINDOW_HU[1],
        extent=(0, width_mm, height_mm, 0),
        aspect="auto",
        interpolation="bilinear",
    )
    outline(axes, panel.prediction > 0, panel.pixel_mm, palette.KIDNEY, "solid")
    outline(axes, panel.prediction > 1, panel.pixel_mm, palette.TUMOR, "solid")
    if panel.reference is not None:
        outline(axes, panel.reference > 0, panel.pixel_mm, palette.REFERENCE_KIDNEY, "dashed")
        outline(axes, panel.reference > 1, panel.pixel_mm, palette.REFERENCE_TUMOR, "dashed")
    axes.set_axis_off()
    axes.set_title(panel.title, color=palette.TEXT, fontsize=9, pad=3)
    draw_edges(axes, panel.edges)


def draw_edges(axes, letters):
    """Writes the letters of the left, right, top and bottom edge, each with a dark rim that shows on bone too."""
    from matplotlib.patheffects import withStroke

    places = ((0.015, 0.5, "left", "center"), (0.985, 0.5, "right", "center"))
    places += ((0.5, 0.985, "center", "top"), (0.5, 0.015, "center", "bottom"))
    for letter, (x, y, horizontal, vertical) in zip(letters, places, strict=False):
        style = {"ha": horizontal, "va": vertical, "color": palette.TEXT, "fontsize": 10}
        rim = [withStroke(linewidth=2.5, foreground=palette.BACKGROUND)]
        axes.text(x, y, letter, transform=axes.transAxes, path_effects=rim, **style)


def outline(axes, mask, pixel_mm, color, style):
    """Draws the outline of a mask [height, width], closed at the picture's edge too."""
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(np.float32)
    y, x = (
        (np.arange(size) - 0.5).clip(0, size - 2) * side for size, side in zip(padded.shape, pixel_mm, strict=True)
    )
    width = 1.3 if style == "solid" else 0.9
    axes.contour(x, y, padded, levels=[0.5], colors=[color], linestyles=[style], linewidths=[width])


def draw_legend(figure, has_reference):
    """A line at the bottom that says what the outlines mean."""
    from matplotlib.lines import Line2D

    entries = [("kidney with tumor", palette.KIDNEY, "solid"), ("tumor", palette.TUMOR, "solid")]
    if has_reference:
        entries.append(("reference: kidney with tumor", palette.REFERENCE_KIDNEY, "dashed"))
        entries.append(("reference: tumor", palette.REFERENCE_TUMOR, "dashed"))
    lines = [Line2D([], [], color=color, linestyle=style, label=label) for label, color, style in entries]
    figure.legend(
        handles=lines, loc="lower center", ncol=len(lines), frameon=False, labelcolor=palette.TEXT, fontsize=9
    )
