"""Where the panels of a picture lie: rows of columns of panels, all at one scale."""

import dataclasses

import numpy as np

TITLE_INCHES = 0.28
"""Room above each panel for its title."""

_GAP_MM = 6.0
_STACKED = 1.3  # coronal and sagittal lie above each other where both are at most this much taller than axial


@dataclasses.dataclass(frozen=True)
class Place:
    """A panel and its rectangle in inches from the picture's lower left.

    Attributes:
        panel: what has `size_mm`, (height, width).
        left: distance from the left edge.
        bottom: distance from the lower edge.
        width: of the rectangle.
        height: of the rectangle.
    """

    panel: object
    left: float
    bottom: float
    width: float
    height: float


def columns(planes):
    """Axial, coronal and sagittal panels as columns: side by side, or coronal above sagittal where these are flat.

    Args:
        planes: list of three panels.

    Returns:
        List of lists of panels.
    """
    axial, coronal, sagittal = planes
    if coronal.size_mm[0] + sagittal.size_mm[0] <= _STACKED * axial.size_mm[0]:
        return [[axial], [coronal, sagittal]]
    return [[panel] for panel in planes]


def arrange(rows, width, below, per_mm=None):
    """Places rows of columns, each in the middle of its row.

    Args:
        rows: list of rows; a row is a list of columns, a column a list of panels from top to bottom.
        width: of the picture, inches.
        below: room left free beneath the rows, inches.
        per_mm: inches for a millimetre at most; by default the widest row fills the width.

    Returns:
        (height, places): the picture's height in inches, and a list of `Place`.
    """
    per_mm = min(per_mm or np.inf, width / max(_row_mm(row) for row in rows))
    heights = [max(_column_inches(column, per_mm) for column in row) for row in rows]
    height = top = sum(heights) + below
    places = []
    for row, row_height in zip(rows, heights, strict=True):
        left = (width - _row_mm(row) * per_mm) / 2
        for column in row:
            column_top = top - (row_height - _column_inches(column, per_mm)) / 2
            places += _stack(column, left, column_top, per_mm)
            left += (_column_mm(column) + _GAP_MM) * per_mm
        top -= row_height
    return height, places


def _stack(column, left, top, per_mm):
    """The places of a column's panels, from its upper left corner on, each in the middle of its width."""
    for panel in column:
        height, width = (side * per_mm for side in panel.size_mm)
        top -= TITLE_INCHES + height
        yield Place(panel, left + (_column_mm(column) * per_mm - width) / 2, top, width, height)


def _column_mm(column):
    return max(panel.size_mm[1] for panel in column)


def _row_mm(row):
    return sum(_column_mm(column) + _GAP_MM for column in row) - _GAP_MM


def _column_inches(column, per_mm):
    return sum(panel.size_mm[0] * per_mm + TITLE_INCHES for panel in column)
