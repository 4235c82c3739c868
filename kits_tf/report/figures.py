"""Draws panels of CT with outlines: kidney and tumor in full lines, the reference dashed; errors as areas.

Needs matplotlib.
"""

import io

import numpy as np

from kits_tf import palette
from kits_tf.errors import UsageError

WINDOW_HU = (-160.0, 240.0)
"""The usual soft-tissue window: level 40, width 400."""

DPI = 110
_GAP_MM = 6.0
_WIDTH_INCHES = 12.5
_TITLE_INCHES = 0.28
LEGEND_INCHES = 0.34


def require_matplotlib(flag="output_dir"):
    """Raises a UsageError that names the extra to install where matplotlib is missing; `flag` asked for pictures."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(flag, "pictures need matplotlib: pip install 'kits-tf[report]'") from None


def draw(rows, per_mm=None, file_format="png"):
    """Draws rows of panels, all at one scale, with a legend beneath.

    Args:
        rows: list of lists of `panels.Panel`.
        per_mm: inches for a millimetre; by default the widest row fills the figure's width.
        file_format: "png", or "jpeg" at a quarter of the size.

    Returns:
        The bytes of a file.
    """
    entries = [("kidney with tumor", palette.KIDNEY, "solid"), ("tumor", palette.TUMOR, "solid")]
    if any(panel.reference is not None for row in rows for panel in row):
        entries.append(("reference: kidney with tumor", palette.REFERENCE_KIDNEY, "dashed"))
        entries.append(("reference: tumor", palette.REFERENCE_TUMOR, "dashed"))
    return compose(rows, draw_panel, entries, per_mm, file_format)


def draw_errors(rows, file_format="png"):
    """Draws rows of panels with what was missed and what was found too much as areas.

    Args:
        rows: list of (threshold, list of `panels.Panel`): label > threshold is looked at.
        file_format: see `draw`.

    Returns:
        The bytes of a file.
    """
    thresholds = {id(panel): threshold for threshold, row in rows for panel in row}
    entries = [
        ("missed", palette.MISSED, "area"),
        ("found too much", palette.EXTRA, "area"),
        ("reference", palette.REFERENCE_KIDNEY, "dashed"),
    ]
    return compose(
        [row for _, row in rows],
        lambda axes, panel: draw_error_panel(axes, panel, thresholds[id(panel)]),
        entries,
        file_format=file_format,
    )


def compose(rows, draw_one, entries, per_mm=None, file_format="png"):
    """Places panels in rows at one scale; `draw_one(axes, panel)` draws each, `entries` make the legend.

    Returns:
        The bytes of a file.
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
            draw_one(axes, panel)
            left += panel_width + _GAP_MM * per_mm
        top -= row_height
    draw_legend(figure, entries)
    return encoded(figure, file_format)


def encoded(figure, file_format):
    """A matplotlib figure as the bytes of a PNG or JPEG file."""
    picture = io.BytesIO()
    options = {"metadata": {"Software": None}}
    if file_format == "jpeg":  # full color resolution, or thin outlines would fade
        options = {"pil_kwargs": {"quality": 88, "subsampling": 0, "optimize": True}}
    figure.savefig(picture, format=file_format, dpi=DPI, facecolor=palette.BACKGROUND, **options)
    return picture.getvalue()


def draw_panel(axes, panel):
    """Draws one panel into matplotlib axes: CT and outlines."""
    draw_ct(axes, panel)
    outline(axes, panel.prediction > 0, panel.pixel_mm, palette.KIDNEY, "solid")
    outline(axes, panel.prediction > 1, panel.pixel_mm, palette.TUMOR, "solid")
    if panel.reference is not None:
        outline(axes, panel.reference > 0, panel.pixel_mm, palette.REFERENCE_KIDNEY, "dashed")
        outline(axes, panel.reference > 1, panel.pixel_mm, palette.REFERENCE_TUMOR, "dashed")


def draw_error_panel(axes, panel, threshold):
    """Draws one panel into matplotlib axes: CT, and over it what of label > threshold was missed or found too much."""
    from matplotlib.colors import to_rgba

    draw_ct(axes, panel)
    prediction, reference = panel.prediction > threshold, panel.reference > threshold
    areas = np.zeros((*prediction.shape, 4))
    areas[reference & ~prediction] = to_rgba(palette.MISSED, 0.8)
    areas[prediction & ~reference] = to_rgba(palette.EXTRA, 0.8)
    height_mm, width_mm = panel.size_mm
    axes.imshow(areas, extent=(0, width_mm, height_mm, 0), aspect="auto", interpolation="nearest")
    outline(axes, reference, panel.pixel_mm, palette.REFERENCE_KIDNEY, "dashed")


def draw_ct(axes, panel):
    """Draws a panel's CT, its title and the letters at its edges."""
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


def draw_legend(figure, entries):
    """A line at the bottom that says what outlines and areas mean.

    Args:
        figure: a matplotlib figure.
        entries: list of (label, color, "solid", "dashed" or "area").
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(color=color, label=label)
        if style == "area"
        else Line2D([], [], color=color, linestyle=style, label=label)
        for label, color, style in entries
    ]
    figure.legend(
        handles=handles, loc="lower center", ncol=len(handles), frameon=False, labelcolor=palette.TEXT, fontsize=9
    )


def draw_surfaces(views, file_format="png"):
    """Draws three-dimensional views side by side, at one scale.

    Args:
        views: list of `surface3d.View`.
        file_format: see `draw`.

    Returns:
        The bytes of a file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

    from kits_tf.report.surface3d import colored

    colors = [to_rgb(color) for color in (palette.KIDNEY, palette.TUMOR, palette.BACKGROUND)]
    widths = [view.kidney.shape[1] for view in views]
    tallest = max(view.kidney.shape[0] for view in views)
    height = _WIDTH_INCHES * tallest / sum(widths) + _TITLE_INCHES + LEGEND_INCHES
    figure = Figure(figsize=(_WIDTH_INCHES, height), facecolor=palette.BACKGROUND)
    FigureCanvasAgg(figure)
    left = 0.0
    for view, width in zip(views, widths, strict=True):
        share = width / sum(widths)
        axes = figure.add_axes((left, LEGEND_INCHES / height, share, 1 - (_TITLE_INCHES + LEGEND_INCHES) / height))
        axes.imshow(colored(view, *colors), interpolation="bilinear")
        axes.set_axis_off()
        axes.set_title(view.title, color=palette.TEXT, fontsize=9, pad=3)
        draw_edges(axes, view.edges)
        left += share
    draw_legend(figure, [("kidney", palette.KIDNEY, "area"), ("tumor", palette.TUMOR, "area")])
    return encoded(figure, file_format)
