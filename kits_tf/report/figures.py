"""Draws panels of CT with outlines: the prediction in full lines, the reference broken; errors as areas.

Needs matplotlib.
"""

import io

import numpy as np

from kits_tf import palette
from kits_tf.errors import UsageError
from kits_tf.report import layout

WINDOW_HU = (-160.0, 240.0)
"""The usual soft-tissue window: level 40, width 400."""

DPI = 110
LEGEND_INCHES = 0.34
_WIDTH_INCHES = 12.5
_GAP_PIXELS = 12  # between three-dimensional views
_LINE_WIDTHS = {"solid": 1.4, "dashed": 1.3, "dotted": 1.6}
_RIM = 0.8  # of black around lines and letters, which shows them on bright organs too


def require_matplotlib(flag="output_dir"):
    """Raises a UsageError that names the extra to install where matplotlib is missing; `flag` asked for pictures."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(flag, "pictures need matplotlib: install this package's extra `report`") from None


def draw(rows, per_mm=None, file_format="png", with_tumors=True):
    """Draws rows of panels, all at one scale, with a legend beneath.

    Args:
        rows: list of rows, each a list of columns of `panels.Panel` as `layout.arrange` takes them.
        per_mm: inches for a millimetre; by default the widest row fills the figure's width.
        file_format: "png", or "jpeg" at a quarter of the size.
        with_tumors: whether the prediction's tumors are in the legend; not where they were not looked for.

    Returns:
        The bytes of a file.
    """
    entries = [("kidney with tumor", palette.KIDNEY, "solid")]
    if with_tumors:
        entries.append(("tumor", palette.TUMOR, "solid"))
    if any(panel.reference is not None for row in rows for column in row for panel in column):
        entries.append(("reference: kidney with tumor", palette.REFERENCE, "dashed"))
        entries.append(("reference: tumor", palette.REFERENCE, "dotted"))
    return compose(rows, draw_panel, entries, per_mm, file_format)


def draw_errors(rows, file_format="png"):
    """Draws rows of panels with what was missed and what was found too much as areas.

    Args:
        rows: list of (threshold, row as `draw` takes it): label > threshold is looked at.
        file_format: see `draw`.

    Returns:
        The bytes of a file.
    """
    thresholds = {id(panel): threshold for threshold, row in rows for column in row for panel in column}
    entries = [
        ("missed", palette.MISSED, "area"),
        ("found too much", palette.EXTRA, "area"),
        ("reference", palette.REFERENCE, "dashed"),
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
    height, places = layout.arrange(rows, _WIDTH_INCHES, LEGEND_INCHES, per_mm)
    figure = new_figure(_WIDTH_INCHES, height)
    for place in places:
        share = (place.left / _WIDTH_INCHES, place.bottom / height, place.width / _WIDTH_INCHES, place.height / height)
        draw_one(figure.add_axes(share, frameon=False), place.panel)
    draw_legend(figure, entries)
    return encoded(figure, file_format)


def new_figure(width, height):
    """An empty black matplotlib figure of a size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor=palette.BACKGROUND)
    FigureCanvasAgg(figure)
    return figure


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
        outline(axes, panel.reference > 0, panel.pixel_mm, palette.REFERENCE, "dashed")
        outline(axes, panel.reference > 1, panel.pixel_mm, palette.REFERENCE, "dotted")


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
    outline(axes, reference, panel.pixel_mm, palette.REFERENCE, "dashed")


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


def draw_edges(axes, letters, height=0.5):
    """Writes the letters of the left, right, top and bottom edge; `height` is that of the first two, 0 to 1."""
    places = ((0.015, height, "left", "center"), (0.985, height, "right", "center"))
    places += ((0.5, 0.985, "center", "top"), (0.5, 0.015, "center", "bottom"))
    for letter, (x, y, horizontal, vertical) in zip(letters, places, strict=False):
        style = {"ha": horizontal, "va": vertical, "color": palette.TEXT, "fontsize": 10}
        axes.text(x, y, letter, transform=axes.transAxes, path_effects=dark_rim(1), **style)


def dark_rim(line_width):
    """A black edge around letters, or around lines of a width in points."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=line_width + _RIM, foreground=palette.BACKGROUND)]


def outline(axes, mask, pixel_mm, color, style):
    """Draws the outline of a mask [height, width], closed at the picture's edge too."""
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(np.float32)
    y, x = (
        (np.arange(size) - 0.5).clip(0, size - 2) * side for size, side in zip(padded.shape, pixel_mm, strict=True)
    )
    width = _LINE_WIDTHS[style]
    drawn = axes.contour(x, y, padded, levels=[0.5], colors=[color], linestyles=[style], linewidths=[width])
    drawn.set_path_effects(dark_rim(width))


def draw_legend(figure, entries):
    """A line at the bottom that says what outlines and areas mean.

    Args:
        figure: a matplotlib figure.
        entries: list of (label, color, "solid", "dashed", "dotted" or "area").
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


def draw_surfaces(views, file_format="png", with_tumors=True):
    """Draws three-dimensional views side by side, at one scale.

    Args:
        views: list of `surface3d.View`.
        file_format, with_tumors: see `draw`.

    Returns:
        The bytes of a file.
    """
    from matplotlib.colors import to_rgb

    from kits_tf.report.surface3d import colored

    colors = [to_rgb(color) for color in (palette.KIDNEY, palette.TUMOR, palette.BACKGROUND)]
    widths = [view.kidney.shape[1] for view in views]
    whole = sum(widths) + _GAP_PIXELS * (len(views) - 1)
    around = layout.TITLE_INCHES + LEGEND_INCHES
    height = _WIDTH_INCHES * max(view.kidney.shape[0] for view in views) / whole + around
    figure = new_figure(_WIDTH_INCHES, height)
    left = 0
    for view, width in zip(views, widths, strict=True):
        axes = figure.add_axes((left / whole, LEGEND_INCHES / height, width / whole, 1 - around / height))
        axes.imshow(colored(view, *colors), interpolation="bilinear")
        axes.set_axis_off()
        axes.set_title(view.title, color=palette.TEXT, fontsize=9, pad=3)
        draw_edges(axes, view.edges, height=0.03)
        left += width + _GAP_PIXELS
    entries = [("kidney", palette.KIDNEY, "area")]
    if with_tumors:
        entries.append(("tumor", palette.TUMOR, "area"))
    draw_legend(figure, entries)
    return encoded(figure, file_format)
