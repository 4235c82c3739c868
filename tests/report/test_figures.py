"""Pictures keep true proportions, and outlines lie where the labels are."""

import builtins
import io

import numpy as np
import pytest

from kits_tf import palette
from kits_tf.errors import UsageError
from kits_tf.report import figures
from kits_tf.report.panels import Panel

pytest.importorskip("matplotlib")


def pixels(png):
    """[height, width, 3] in 0 to 1."""
    from matplotlib import image

    return image.imread(io.BytesIO(png))[..., :3]


def panel(height, width, pixel_mm, reference=None):
    hu = np.full((height, width), 240.0)  # white in the window
    prediction = np.zeros((height, width), np.uint8)
    prediction[height // 4 : height // 2, width // 4 : width // 2] = 1
    return Panel("", "", hu, prediction, reference, pixel_mm)


def extent(flags):
    rows, columns = (np.flatnonzero(flags.any(axis=axis)) for axis in (1, 0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def near(picture, color):
    wanted = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    return np.abs(picture - wanted).max(axis=-1) < 0.12


@pytest.mark.parametrize(("shape", "pixel_mm"), [((40, 80), (5.0, 1.0)), ((100, 50), (0.5, 2.0)), ((20, 20), (1, 1))])
def test_a_panel_has_the_proportions_of_its_millimetres(shape, pixel_mm):
    picture = pixels(figures.draw([[[panel(*shape, pixel_mm)]]], per_mm=0.02))
    white = near(picture, "#FFFFFF")[: -round(figures.LEGEND_INCHES * figures.DPI)]
    top, bottom, left, right = extent(white)
    proportion = shape[0] * pixel_mm[0] / (shape[1] * pixel_mm[1])
    assert (bottom - top) / (right - left) == pytest.approx(proportion, rel=0.05)
    assert bottom - top == pytest.approx(shape[0] * pixel_mm[0] * 0.02 * figures.DPI, abs=2)


def test_the_outline_surrounds_the_labels():
    picture = pixels(figures.draw([[[panel(40, 40, (2.0, 2.0))]]], per_mm=0.05))
    body = picture[: -round(figures.LEGEND_INCHES * figures.DPI)]
    top, bottom, left, right = extent(near(body, "#FFFFFF"))
    outline = extent(near(body, palette.KIDNEY)[:, left:right])
    side = right - left
    # labels from a quarter to a half of either axis
    assert [edge / side for edge in (outline[2], outline[3])] == pytest.approx([0.25, 0.5], abs=0.02)
    assert [(edge - top) / side for edge in outline[:2]] == pytest.approx([0.25, 0.5], abs=0.02)


def test_an_outline_is_closed_at_the_pictures_edge():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    figures.outline(axes, np.ones((4, 6), bool), (2.0, 3.0), palette.TUMOR, "solid")
    (contour,) = axes.collections
    corners = contour.get_paths()[0].vertices
    assert (corners.min(axis=0) >= 0).all()
    assert (corners.max(axis=0) <= [18, 8]).all()
    np.testing.assert_array_equal(corners[0], corners[-1])


def test_a_reference_adds_broken_white_outlines():
    reference = np.zeros((40, 40), np.uint8)
    reference[20:30, 20:30] = 2
    plain, scored = (panel(40, 40, (0.5, 2.0), labels) for labels in (None, reference))
    for one in (plain, scored):
        one.hu[...] = -160.0  # black in the window
    legend = round(figures.LEGEND_INCHES * figures.DPI)
    without, with_it = (near(pixels(figures.draw([[[one]]]))[:-legend], palette.REFERENCE) for one in (plain, scored))
    top, bottom, left, right = extent(with_it)
    assert without.sum() == 0 and bottom - top == pytest.approx((right - left) / 4, abs=6)
    assert 0.2 < with_it[top : top + 3].max(axis=0)[left:right].mean() < 0.95


def test_errors_are_areas_of_their_own_color():
    reference = np.zeros((40, 40), np.uint8)
    reference[10:20, 15:25] = 1  # the panel's labels are rows and columns 10 to 19
    one = panel(40, 40, (0.5, 2.0), reference)
    picture = pixels(figures.draw_errors([(0, [[one]])]))
    picture = picture[: -round(figures.LEGEND_INCHES * figures.DPI)]
    white = [0.2 + 0.8 * int(palette.MISSED[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    missed = np.abs(picture - white).max(axis=-1) < 0.05
    white = [0.2 + 0.8 * int(palette.EXTRA[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    extra = np.abs(picture - white).max(axis=-1) < 0.05
    assert missed.sum() == pytest.approx(extra.sum(), rel=0.2) and missed.sum() > 1000
    assert extent(extra)[3] <= extent(missed)[2]  # found too far to the left
    assert not near(pixels(figures.draw_errors([(1, [[one]])])), palette.EXTRA)[:-60].any()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    real_import = builtins.__import__

    def without_matplotlib(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(UsageError, match="extra `report`"):
        figures.require_matplotlib()
