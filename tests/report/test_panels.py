"""Planes are cut where a structure is largest, and show what a reader expects at each edge."""

import numpy as np
import pytest

from kits_tf.report.panels import Case, largest_cross_sections, tumor_strip, views


def make_case(reference=None):
    """A body from row 5 to 34 and column 10 to 49 with one kidney whose largest planes are known."""
    hu = np.full((50, 40, 60), -1000, np.int16)
    hu[:, 5:35, 10:50] = 40
    labels = np.zeros(hu.shape, np.uint8)
    labels[20:30, 20, 30] = 1
    labels[24, 15:25, 30] = 1
    labels[24, 20, 25:35] = 1
    labels[24, 20, 26] = 2
    return Case(hu, (4.0, 1.0, 2.0), labels, reference)


def test_cuts_go_through_the_largest_cross_sections():
    case = make_case()
    assert largest_cross_sections(case.prediction > 0) == (24, 20, 30)
    assert largest_cross_sections(case.prediction > 1) == (24, 20, 26)
    assert largest_cross_sections(np.zeros((4, 6, 9), bool)) == (2, 3, 4)


def test_views_are_cut_to_the_body_and_keep_their_directions():
    case = make_case()
    axial, coronal, sagittal = views(case, 0)
    # 60 mm are 15 slices of 4 mm above slice 20 and below slice 29
    np.testing.assert_array_equal(axial.hu, case.hu[24, 5:35, 10:50])
    np.testing.assert_array_equal(coronal.prediction, case.prediction[5:45, 20, 10:50])
    np.testing.assert_array_equal(sagittal.prediction, case.prediction[5:45, 5:35, 30])
    assert [panel.pixel_mm for panel in (axial, coronal, sagittal)] == [(1.0, 2.0), (4.0, 2.0), (4.0, 1.0)]
    assert [panel.edges for panel in (axial, coronal, sagittal)] == ["RLAP", "RLSI", "APSI"]
    assert axial.size_mm == (30.0, 80.0)
    assert coronal.title == "coronal, row 20"


def test_where_nothing_was_predicted_the_reference_decides():
    empty = np.zeros((50, 40, 60), np.uint8)
    found = make_case()
    case = Case(found.hu, found.spacing_mm, empty, found.prediction)
    assert views(case, 0)[0].title == "axial, slice 24"
    assert views(Case(found.hu, found.spacing_mm, empty), 0)[0].title == "axial, slice 25"


@pytest.mark.parametrize(("slices", "expected"), [(1, [3]), (3, [3, 4, 5]), (30, [3, 7, 11, 15, 20, 24, 28, 32])])
def test_strips_run_from_a_tumors_first_to_its_last_slice(slices, expected):
    case = make_case()
    strip = tumor_strip(case, (slice(3, 3 + slices), slice(10, 20), slice(40, 44)))
    assert [panel.title for panel in strip] == [f"slice {cut}" for cut in expected]
    # 80 mm at least, but no more than there is: all 40 rows; columns 2 mm wide, 18 on both sides of 4, cut at 60
    assert strip[0].hu.shape == (40, 38)
