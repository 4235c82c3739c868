"""Surfaces lie where the labels are from every side, lit from the viewer's side, the tumor before or behind."""

import numpy as np
import pytest
from tests.evaluation.test_measurements import ellipsoid

from kits_tf.report import surface3d
from kits_tf.report.figure1 import GREY, WHITE, pictures
from kits_tf.report.panels import Case

SPACING_MM = (3.0, 1.0, 1.5)


@pytest.fixture(scope="module", name="views")
def a_right_kidney_with_a_tumor_at_its_front():
    shape = (30, 80, 90)
    labels = np.zeros(shape, np.uint8)
    labels[ellipsoid(shape, SPACING_MM, (30, 40, 30), (24, 18, 15))] = 1
    labels[ellipsoid(shape, SPACING_MM, (60, 40, 100), (10, 10, 10))] = 1  # a smaller left one, further down
    labels[ellipsoid(shape, SPACING_MM, (30, 18, 30), (7, 7, 7))] = 2
    return {view.title: view for view in surface3d.views(labels, SPACING_MM)}


def extents_mm(brightness, pixel_mm):
    seen = ~np.isnan(brightness)
    return [np.ptp(np.flatnonzero(seen.any(axis=axis))) * pixel_mm for axis in (1, 0)]


def test_the_outline_has_the_labels_extent(views):
    front = views["from the front"]
    # from slice position 6 to 70 mm, from column position 15 to 110 mm
    assert extents_mm(front.kidney, front.pixel_mm) == pytest.approx([64, 95], abs=4)
    side = views["from the patient's left"]
    assert extents_mm(side.kidney, side.pixel_mm)[1] == pytest.approx(58 - 11, abs=4)


def test_right_lies_left_from_the_front_and_right_from_behind(views):
    for title, edges, is_mirrored in (("from the front", "RL", False), ("from behind", "LR", True)):
        view = views[title]
        tall = (~np.isnan(view.kidney)).sum(axis=0)
        half = len(tall) // 2
        assert (tall[:half].max() > tall[half:].max()) != is_mirrored
        assert view.edges == edges
    for title, edges, tumor_first in (
        ("from the patient's right", "PA", False),
        ("from the patient's left", "AP", True),
    ):
        view = views[title]
        columns = np.flatnonzero((~np.isnan(view.tumor)).any(axis=0))
        assert (columns.mean() < view.tumor.shape[1] / 2) == tumor_first
        assert view.edges == edges


def test_a_tumor_at_the_front_is_before_the_kidney_there_and_behind_it_from_behind(views):
    for title, share in (("from the front", 1.0), ("from behind", 0.0)):
        view = views[title]
        assert view.tumor_before[~np.isnan(view.tumor)].mean() == pytest.approx(share, abs=0.15)
    front = surface3d.colored(views["from the front"], (0, 0, 1), (1, 0, 0), (0, 0, 0))
    behind = surface3d.colored(views["from behind"], (0, 0, 1), (1, 0, 0), (0, 0, 0))
    assert front[..., 0].max() > behind[..., 0].max() > 0.2


def test_light_comes_from_above_the_viewer(views):
    front = views["from the front"]
    rows = np.flatnonzero((~np.isnan(front.kidney)).any(axis=1))
    column = np.nanargmax((~np.isnan(front.kidney)).sum(axis=0))
    line = front.kidney[rows, column]
    line = line[~np.isnan(line)]
    assert line[: len(line) // 3].mean() > line[-len(line) // 3 :].mean()
    assert np.nanmin(front.kidney) >= 0.3 and np.nanmax(front.kidney) <= 1


def test_nothing_has_no_view():
    assert surface3d.views(np.zeros((3, 4, 5), np.uint8), (1, 1, 1)) == []


def test_figure_1_is_grey_and_white_where_the_tumor_is_largest():
    reference = np.zeros((5, 6, 7), np.uint8)
    reference[1, 1:5, 1:5] = 1
    reference[3, 2:4, 2:4] = 2
    hu = np.arange(210, dtype=np.int16).reshape(5, 6, 7)
    (_, data, *_), (_, known, *_), (_, told, *_) = pictures(Case(hu, SPACING_MM, np.roll(reference, 1, 2), reference))
    np.testing.assert_array_equal(data, hu[3])
    assert (known == WHITE).sum() == 4 and (known == 0).sum() == 38
    np.testing.assert_array_equal(told[:, 1:], known[:, :-1])
    kidney = np.minimum(reference, 1)
    assert (pictures(Case(hu, SPACING_MM, kidney, kidney))[1][1] == GREY).sum() == 16
