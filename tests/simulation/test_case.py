"""CTs from an organ map are repeatable, of KiTS19's form, with kidneys where and as bright as they should be."""

import numpy as np
import pytest

from kits_tf.simulation import Anatomy, bundled_anatomies, case, deformation, interior, lesions, simulate
from kits_tf.simulation.appearance import Appearance
from kits_tf.simulation.fields import random_generator
from kits_tf.simulation.organ_map import load
from tests.simulation import small_person

SMALL = {"size": 56, "slices": 24, "pixel_spacing_mm": (3.0, 3.0), "slice_spacing_mm": (2.5, 2.5)}


@pytest.fixture(scope="module")
def anatomies(tmp_path_factory):
    paths = small_person.write(tmp_path_factory.mktemp("map"))
    return (Anatomy(paths["map"], paths["legend"], paths["ct"]),)


def test_a_case_depends_on_seed_and_number_alone(anatomies):
    first = simulate(5, 3, anatomies, **SMALL)
    assert first.hu.shape == first.labels.shape == (24, 56, 56)
    assert (first.hu.dtype, first.labels.dtype, first.spacing_mm) == (np.int16, np.uint8, (2.5, 3.0, 3.0))
    assert set(np.unique(first.labels)) <= {0, 1, 2} and first.hu.min() >= -1024
    simulate(5, 2, anatomies, **SMALL)
    again, other = simulate(5, 3, anatomies, **SMALL), simulate(6, 3, anatomies, **SMALL)
    np.testing.assert_array_equal(first.hu, again.hu)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.hu != other.hu).any() and (first.labels != other.labels).any()


def test_chunks_do_not_show(anatomies, monkeypatch):
    whole = simulate(2, 0, anatomies, **SMALL)
    monkeypatch.setattr(case, "CHUNK_VOXELS", 5 * 56 * 56)
    pieces = simulate(2, 0, anatomies, **SMALL)
    np.testing.assert_array_equal(whole.labels, pieces.labels)
    assert np.abs(whole.hu.astype(int) - pieces.hu).max() <= 1  # rounding of sums in another order


def test_the_right_kidney_lies_at_low_columns(anatomies, monkeypatch):
    """The map's right kidney is the larger one."""
    for module, name in ((deformation, "KIDNEY_SIZE"), (deformation, "ATROPHIC"), (interior, "SINGLE_KIDNEY")):
        monkeypatch.setattr(module, name, 0)
    volumes = np.zeros(2)
    for number in range(6):
        labels = simulate(7, number, anatomies, **SMALL).labels
        volumes += (labels[:, :, :28] > 0).sum(), (labels[:, :, 28:] > 0).sum()
    assert volumes[0] > 1.15 * volumes[1] > 0


def test_kidneys_have_the_hu_of_their_draw(anatomies, monkeypatch):
    for counts in ("NUM_CYSTS", "NUM_TUMORS"):
        monkeypatch.setattr(lesions, counts, (1.0,))
    for number, phase in enumerate(("unenhanced", "corticomedullary", "nephrographic")):
        hu, labels, _ = simulate(8, number, anatomies, phases=(phase,), **SMALL)
        look = Appearance(random_generator(8, number, case.APPEARANCE), phase)
        low, high = sorted((look.cortex, look.medulla))
        assert low - 40 < np.median(hu[labels == 1]) < high + 40


def test_tumors_are_labelled_unless_there_are_none(anatomies, monkeypatch):
    monkeypatch.setattr(lesions, "NUM_TUMORS", (0.0, 1.0))
    found = [(simulate(4, number, anatomies, **SMALL).labels == 2).sum() for number in range(4)]
    assert sum(count > 10 for count in found) >= 3
    monkeypatch.setattr(lesions, "NUM_TUMORS", (1.0,))
    assert not (simulate(4, 0, anatomies, **SMALL).labels == 2).any()


def test_each_case_draws_one_of_the_maps_by_default_the_bundled_ones(anatomies, monkeypatch):
    two = (*anatomies, Anatomy("another map", anatomies[0].legend))
    drawn = []
    monkeypatch.setattr(case, "load", lambda anatomy: drawn.append(anatomy) or load(anatomies[0]))
    for choice in (two, ()):
        drawn.clear()
        assert all((simulate(3, number, choice, **SMALL).labels > 0).any() for number in range(9))
        assert set(drawn) == set(choice or bundled_anatomies())
