"""Panels share one scale, do not overlap, stay within the picture and keep the legend's room free."""

import dataclasses
import itertools

import pytest

from kits_tf.report.layout import TITLE_INCHES, arrange, columns

WIDTH, BELOW = 10.0, 0.5


@dataclasses.dataclass(frozen=True)
class Sized:
    """Stands for a panel."""

    name: str
    size_mm: tuple


def planes(slices_mm):
    return [Sized("axial", (250, 350)), Sized("coronal", (slices_mm, 350)), Sized("sagittal", (slices_mm, 250))]


def test_flat_planes_are_stacked_beside_the_axial_one():
    assert [[panel.name for panel in column] for column in columns(planes(120))] == [
        ["axial"],
        ["coronal", "sagittal"],
    ]
    assert [len(column) for column in columns(planes(250))] == [1, 1, 1]


@pytest.mark.parametrize("slices_mm", [40, 120, 250, 600])
def test_places_have_one_scale_and_do_not_overlap(slices_mm):
    rows = [columns(planes(slices_mm)), columns(planes(slices_mm))]
    height, places = arrange(rows, WIDTH, BELOW)
    assert len(places) == 6
    scales = [place.width / place.panel.size_mm[1] for place in places]
    scales += [place.height / place.panel.size_mm[0] for place in places]
    assert scales == pytest.approx([scales[0]] * 12)
    for place in places:
        assert place.left >= -1e-9 and place.left + place.width <= WIDTH + 1e-9
        assert place.bottom >= BELOW - 1e-9 and place.bottom + place.height + TITLE_INCHES <= height + 1e-9
    for one, other in itertools.combinations(places, 2):
        apart_x = max(one.left, other.left) >= min(one.left + one.width, other.left + other.width) - 1e-9
        top = min(one.bottom + one.height, other.bottom + other.height) + TITLE_INCHES
        assert apart_x or max(one.bottom, other.bottom) >= top - 1e-9


def test_the_widest_row_fills_the_width_unless_it_would_be_blown_up():
    wide, narrow = [[Sized("a", (10, 97))], [Sized("b", (10, 97))]], [[Sized("c", (10, 50))]]
    _, (first, second, third) = arrange([wide, narrow], WIDTH, BELOW)
    assert (first.left, second.left + second.width) == pytest.approx((0, WIDTH))
    assert third.left + third.width / 2 == pytest.approx(WIDTH / 2)
    assert arrange([narrow], WIDTH, BELOW, per_mm=0.02)[1][0].width == pytest.approx(1.0)
