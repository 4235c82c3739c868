"""Planes are cut through the largest cross-sections; pictures keep proportions; outlines and errors lie right."""

import dataclasses
import io

import nibabel
import numpy as np
import pytest

from kits_tf import palette
from kits_tf.io.volume import Grid, Source
from kits_tf.report import figures
from kits_tf.report.figures import Panel, Scene

image = pytest.importorskip("matplotlib.image")


def pixels(picture, file_format):
    """Return [height, width, 3] in 0 to 1."""
    values = image.imread(io.BytesIO(picture), format=file_format)[..., :3]
    return values / 255 if values.dtype == np.uint8 else values


def make_scene(reference=None):
    """A body from row 5 to 34 and column 10 to 49 with one kidney whose largest planes are known."""
    hu = np.full((50, 40, 60), -1000, np.int16)
    hu[:, 5:35, 10:50] = 40
    labels = np.zeros(hu.shape, np.uint8)
    labels[20:30, 20, 30] = labels[24, 15:25, 30] = labels[24, 20, 25:35] = 1
    labels[24, 20, 26] = 2
    return Scene(hu, (4.0, 1.0, 2.0), labels, reference)


def test_planes_go_through_the_largest_cross_sections_and_are_cut_to_the_body():
    scene = make_scene()
    axial, coronal, sagittal = figures.plane_panels(scene, scene.prediction > 0)
    # 60 mm are 15 slices of 4 mm above slice 20 and below slice 29
    np.testing.assert_array_equal(axial.hu, scene.hu[24, 5:35, 10:50])
    np.testing.assert_array_equal(coronal.prediction, scene.prediction[5:45, 20, 10:50])
    np.testing.assert_array_equal(sagittal.prediction, scene.prediction[5:45, 5:35, 30])
    assert [panel.pixel_mm for panel in (axial, coronal, sagittal)] == [(1.0, 2.0), (4.0, 2.0), (4.0, 1.0)]
    assert [panel.edges for panel in (axial, coronal, sagittal)] == ["RLAP", "RLSI", "APSI"]
    assert (axial.size_mm, coronal.title) == ((30.0, 80.0), "coronal, slice 20")
    assert figures.plane_panels(scene, scene.prediction > 1)[2].title == "sagittal, slice 26"
    empty = Scene(scene.hu, scene.spacing_mm, scene.prediction * 0, scene.prediction)
    assert empty.labels is scene.prediction


def test_slices_are_numbered_as_in_the_file_and_images_as_in_the_series():
    """In a file of axes R, A, S all three axes run the other way: 49 - 24, 39 - 20, 59 - 30."""
    scene = make_scene()
    source = Source(None, nibabel.orientations.axcodes2ornt("RAS"))
    grid = Grid(scene.hu.shape, scene.spacing_mm, np.eye(4), source, instances=tuple(range(101, 151)))
    panels = figures.plane_panels(dataclasses.replace(scene, grid=grid), scene.prediction > 0)
    assert [panel.title for panel in panels] == [
        "axial, slice 25, image 125",
        "coronal, slice 19",
        "sagittal, slice 29",
    ]


@pytest.mark.parametrize(("slices", "expected"), [(1, [3]), (3, [3, 4, 5]), (30, [3, 7, 11, 15, 20, 24, 28, 32])])
def test_strips_run_from_a_tumors_first_to_its_last_slice(slices, expected):
    strip = figures.tumor_panels(make_scene(), (slice(3, 3 + slices), slice(10, 20), slice(40, 44)))
    assert [panel.title for panel in strip] == [f"axial, slice {cut}" for cut in expected]
    # 80 mm at least, but no more than there is: all 40 rows; columns 2 mm wide, 18 on both sides of 4, cut at 60
    assert strip[0].hu.shape == (40, 38)


def white_panel(height, width, pixel_mm, reference=None):
    """A white panel with kidney from a quarter to a half of either axis."""
    prediction = np.zeros((height, width), np.uint8)
    prediction[height // 4 : height // 2, width // 4 : width // 2] = 1
    return Panel("", "    ", np.full((height, width), 240.0), prediction, reference, pixel_mm)


def near(picture, color, tolerance=0.12):
    wanted = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    return np.abs(picture - wanted).max(axis=-1) < tolerance


def extent(flags):
    rows, columns = (np.flatnonzero(flags.any(axis=axis)) for axis in (1, 0))
    return np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1])


@pytest.mark.parametrize(("shape", "pixel_mm"), [((40, 80), (5.0, 1.0)), ((100, 50), (0.5, 2.0)), ((20, 20), (1, 1))])
def test_a_picture_has_the_proportions_of_its_millimetres_and_outlines_surround_the_labels(shape, pixel_mm):
    picture = pixels(figures.draw([white_panel(*shape, pixel_mm)], width_pixels=300, file_format="png"), "png")
    height, width = picture.shape[:2]
    assert height / width == pytest.approx(shape[0] * pixel_mm[0] / (shape[1] * pixel_mm[1]), rel=0.02)
    assert width == pytest.approx(min(300, 4 * shape[1] * pixel_mm[1]), abs=1)
    edges = extent(near(picture, palette.KIDNEY)) / [height, height, width, width]
    assert edges == pytest.approx([0.25, 0.5, 0.25, 0.5], abs=0.04)


def test_panels_side_by_side_have_one_scale():
    small, large = white_panel(20, 20, (1, 1)), white_panel(20, 40, (2, 2))
    picture = pixels(figures.draw([small, large], file_format="png", width_pixels=200), "png")
    assert picture.shape[:2] == (80, 200)
    assert picture[:38, :38].max() == 0 and picture[42:, :38].max() == 1


def test_a_reference_has_broken_white_outlines():
    reference = np.zeros((40, 40), np.uint8)
    reference[20:30, 20:30] = 2
    found = []
    for labels in (None, reference):
        panel = white_panel(40, 40, (0.5, 2.0), labels)
        panel.hu[...] = -160.0  # black
        found.append(near(pixels(figures.draw([panel], file_format="png"), "png"), palette.REFERENCE))
    top, bottom, left, right = extent(found[1])
    assert not found[0].any() and bottom - top == pytest.approx((right - left) / 4, abs=6)
    assert 0.2 < found[1][top : top + 3].max(axis=0)[left:right].mean() < 0.95


def test_errors_are_areas_of_their_own_color():
    reference = np.zeros((40, 40), np.uint8)
    reference[10:20, 15:25] = 1  # five columns further than the prediction
    panel = white_panel(40, 40, (0.5, 2.0), reference)
    panel.hu[...] = -160.0
    picture = pixels(figures.draw([panel], errors_of=0, file_format="png"), "png")
    areas = []
    for color in (palette.MISSED, palette.EXTRA):
        dimmed = "#" + "".join(f"{round(0.8 * int(color[start : start + 2], 16)):02X}" for start in (1, 3, 5))
        areas.append(near(picture, dimmed, 0.03))
    assert areas[0].sum() == pytest.approx(areas[1].sum(), rel=0.2) and areas[0].sum() > 500
    assert extent(areas[1])[3] <= extent(areas[0])[2]
    assert not near(pixels(figures.draw([panel], errors_of=1, file_format="png"), "png"), palette.EXTRA).any()


def test_surfaces_are_seen_from_each_side_and_tumors_through_the_kidney():
    z, y, x = np.indices((30, 80, 90)) * np.reshape([3.0, 1.0, 1.5], (3, 1, 1, 1))
    labels = np.zeros(z.shape, np.uint8)
    for centre, radii, label in (
        ((30, 40, 30), (24, 18, 15), 1),  # the right kidney
        ((60, 40, 100), (10, 10, 10), 1),  # a smaller left one, further down
        ((30, 18, 30), (7, 7, 7), 2),  # at the front of the right one
    ):
        terms = ((axis - middle) / radius for axis, middle, radius in zip((z, y, x), centre, radii, strict=True))
        labels[sum(term**2 for term in terms) <= 1] = label
    drawn = figures.draw_surfaces(labels, (3.0, 1.0, 1.5))
    assert list(drawn) == list(figures.SURFACE_VIEWS)
    seen = {title: pixels(picture, "jpeg") for title, picture in drawn.items()}
    bodies = {title: picture.max(axis=-1) > 0.15 for title, picture in seen.items()}
    tumors = {title: picture[..., 0] > picture[..., 2] + 0.1 for title, picture in seen.items()}

    def half(flags):
        return np.flatnonzero(flags.any(axis=0)).mean() / flags.shape[1]

    heights = {title: flags.sum(axis=0) for title, flags in bodies.items()}
    for title, is_left in (("from the front", True), ("from behind", False)):  # the patient's right, the larger one
        assert (heights[title][:210].max() > heights[title][210:].max()) == is_left
    assert half(tumors["from the patient's left"]) < 0.5 < half(tumors["from the patient's right"])  # anterior
    assert half(tumors["from behind"]) > 0.5 > half(tumors["from the front"])
    assert figures.draw_surfaces(labels * 0, (1, 1, 1)) == {}


def test_figure_1_shows_the_slice_with_the_largest_tumor():
    reference = np.zeros((5, 6, 7), np.uint8)
    reference[1, 1:5, 1:5] = 1
    reference[3, 2:4, 2:4] = 2
    hu = np.arange(210, dtype=np.int16).reshape(5, 6, 7)
    shown = figures.figure1_row(Scene(hu, (3.0, 1.0, 1.5), np.roll(reference, 1, 2), reference))
    for picture, expected in zip(shown, (hu[3], reference[3], np.roll(reference, 1, 2)[3]), strict=True):
        np.testing.assert_array_equal(picture, expected)
    kidney = np.minimum(reference, 1)
    np.testing.assert_array_equal(figures.figure1_row(Scene(hu, (3, 1, 1), kidney, kidney))[1], kidney[1])
