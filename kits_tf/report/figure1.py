"""The paper's Figure 1: CT, reference and prediction of an axial slice side by side; kidney grey, tumor white."""

import numpy as np

from kits_tf import palette
from kits_tf.report import figures
from kits_tf.report.panels import largest_cross_sections

GREY, WHITE = 0.5, 1.0
_INCHES = 3.0
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
    width, height = 3 * _INCHES + _CASE_INCHES, len(cases) * _INCHES + _TITLE_INCHES
    figure = figures.new_figure(width, height)
    for row, (name, case) in enumerate(cases.items()):
        bottom = height - _TITLE_INCHES - (row + 1) * _INCHES
        figure.text(0.05 / width, (bottom + _INCHES / 2) / height, name, color=palette.TEXT, rotation=90, va="center")
        for column, (title, plane, low, high) in enumerate(pictures(case)):
            left = _CASE_INCHES + column * _INCHES
            place = (left / width, bottom / height, 0.98 * _INCHES / width, 0.98 * _INCHES / height)
            axes = figure.add_axes(place, frameon=False)
            aspect = case.spacing_mm[1] / case.spacing_mm[2]
            axes.imshow(plane, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="nearest")
            axes.set_axis_off()
            if row == 0:
                axes.set_title(title, color=palette.TEXT, fontsize=12)
    return figures.encoded(figure, file_format)


def pictures(case):
    """(title, [rows, columns], black, white) of a case's three pictures."""
    shown = case.reference > 1 if (case.reference > 1).any() else case.reference > 0
    cut = largest_cross_sections(shown)[0]
    return [
        ("data", case.hu[cut], *figures.WINDOW_HU),
        ("reference", greys(case.reference[cut]), 0.0, 1.0),
        ("prediction", greys(case.prediction[cut]), 0.0, 1.0),
    ]


def greys(labels):
    """Labels as brightness: background black, kidney grey, tumor white."""
    return np.array([0.0, GREY, WHITE])[labels]
