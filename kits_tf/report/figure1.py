"""The paper's Figure 1: CT, reference and prediction of an axial slice side by side; kidney grey, tumor white."""

import numpy as np

from kits_tf import palette
from kits_tf.report import figures
from kits_tf.report.panels import largest_cross_sections, shown_box

GREY, WHITE = 0.5, 1.0
_INCHES = 3.0
_SHARE = 0.98  # of its room that a picture takes
_TITLE_INCHES = 0.35
_CASE_INCHES = 0.3


def figure1(cases, file_format="png"):
    """Draws the figure.

    Args:
        cases: {id: `panels.Case` with a reference}; each becomes a row: the axial slice in which the reference's
            tumor, or where there is none its kidney, is largest.
        file_format: "png" or "jpeg".

    Returns:
        The bytes of a PNG or JPEG file.
    """
    drawn = {name: (pictures(case), case.spacing_mm) for name, case in cases.items()}
    heights = {name: _row_inches(three[0][1], spacing_mm) for name, (three, spacing_mm) in drawn.items()}
    width, height = 3 * _INCHES + _CASE_INCHES, sum(heights.values()) + _TITLE_INCHES
    figure = figures.new_figure(width, height)
    bottom = height - _TITLE_INCHES
    for row, (name, (three, _)) in enumerate(drawn.items()):
        bottom -= heights[name]
        middle = (bottom + heights[name] / 2) / height
        figure.text(0.05 / width, middle, name, color=palette.TEXT, rotation=90, va="center")
        for column, (title, plane, low, high) in enumerate(three):
            left = (_CASE_INCHES + column * _INCHES) / width
            place = (left, bottom / height, _SHARE * _INCHES / width, _SHARE * heights[name] / height)
            axes = figure.add_axes(place, frameon=False)
            axes.imshow(plane, cmap="gray", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
            axes.set_axis_off()
            if row == 0:
                axes.set_title(title, color=palette.TEXT, fontsize=12)
    return figures.encoded(figure, file_format)


def _row_inches(plane, spacing_mm):
    """The height at which a plane [rows, columns] is as wide as the room for it."""
    return _INCHES * plane.shape[0] * spacing_mm[1] / (plane.shape[1] * spacing_mm[2])


def pictures(case):
    """(title, [rows, columns], black, white) of a case's three pictures, cut to the body."""
    shown = case.reference > 1 if (case.reference > 1).any() else case.reference > 0
    cut = largest_cross_sections(shown)[0]
    _, rows, columns = shown_box(case)
    hu, reference, prediction = (volume[cut, rows, columns] for volume in (case.hu, case.reference, case.prediction))
    return [
        ("data", hu, *figures.WINDOW_HU),
        ("reference", greys(reference), 0.0, 1.0),
        ("prediction", greys(prediction), 0.0, 1.0),
    ]


def greys(labels):
    """Labels as brightness: background black, kidney grey, tumor white."""
    return np.array([0.0, GREY, WHITE])[labels]
