"""Surface distances equal those of a box worked by hand; see also test_metrics for those of another package."""

import math

import numpy as np
import pytest

from kits_tf.evaluation.surface import SurfaceDistances, pattern_areas, surface_distances, surface_elements


@pytest.mark.parametrize("position", range(10))
def test_a_share_reached_exactly_counts_in_any_order_of_areas(position):
    """Nine areas of a tenth and one of 0.9: half of the whole, though nine times 0.1 sums to less than 0.9."""
    areas = np.insert(np.full(9, 0.1), position, 0.9)
    distances = np.insert(np.linspace(0.1, 0.9, 9), position, 5.0)
    measured = SurfaceDistances(distances, areas, np.zeros(1), np.ones(1))
    assert measured.hausdorff_mm(0.5) == pytest.approx(0.9)
    assert measured.hausdorff_mm(0.501) == 5.0


def test_pattern_areas_treat_inside_and_outside_alike():
    areas = pattern_areas((3.0, 0.8, 0.7))
    np.testing.assert_array_equal(areas, areas[::-1])
    assert areas[0] == areas[255] == 0
    # one voxel cuts a corner with legs of half a voxel: half the root of the sum of the squared projections
    assert areas[1] == pytest.approx(0.5 * math.hypot(1.5 * 0.4, 0.4 * 0.35, 0.35 * 1.5))
    # a full plane of four voxels: rows 0 inside (bits 0, 1 and 4, 5), so the face spans slice and column
    assert areas[0b00110011] == pytest.approx(3.0 * 0.7)


def test_a_box_shifted_by_one_column():
    """A box of 4 x 10 x 10 voxels at (3, 0.8, 0.8) mm, and the same box one column further.

    Its corners form a lattice of 5 x 11 x 11. Within a face, each stands for one voxel's face; along an edge for a
    bevel of half a voxel's sides; at a vertex for a triangle. One column further, all corners of the face left behind
    are 0.8 mm away from the other box, as are the inner ones of the face ahead; all others meet a corner of it.
    """
    inner_slices, inner = 3, 9
    column_face = inner_slices * inner * 3 * 0.8
    slice_face = inner * inner * 0.8 * 0.8
    edge_along_slice = inner_slices * 3 * math.hypot(0.4, 0.4)
    edge_in_plane = inner * 0.8 * math.hypot(1.5, 0.4)
    vertex = 0.5 * math.hypot(1.5 * 0.4, 0.4 * 0.4, 0.4 * 1.5)
    whole = 4 * column_face + 2 * slice_face + 4 * edge_along_slice + 8 * edge_in_plane + 8 * vertex
    away = 2 * column_face + 2 * edge_along_slice + 2 * edge_in_plane + 4 * vertex

    first = np.zeros((8, 14, 15), bool)
    first[2:6, 2:12, 2:12] = True
    measured = surface_distances(first, np.roll(first, 1, axis=2), (3.0, 0.8, 0.8))
    assert surface_elements(first, (3.0, 0.8, 0.8))[1].sum() == measured.there_mm2.sum() == pytest.approx(whole)
    assert measured.dice(0.79) == pytest.approx(1 - away / whole)
    assert measured.dice(0.8) == 1.0
    assert measured.hausdorff_mm(0.95) == pytest.approx(0.8, abs=1e-12)
    assert measured.hausdorff_mm(1 - away / whole - 1e-6) == 0.0


@pytest.mark.parametrize("position", [0, 3, 1000])
def test_a_distance_equal_to_the_tolerance_counts_at_any_position(position):
    first = np.zeros((1, 1, 1005), bool)
    first[0, 0, position : position + 3] = True
    assert surface_distances(first, np.roll(first, 1, axis=2), (5.0, 5.0, 1.15)).dice(1.15) == 1.0
