"""CTs from an organ map: repeatable, of KiTS19's form, with the kidneys where and as bright as they should be."""

import numpy as np
import pytest

from kits_tf.simulation.anatomy import Sources, masses, simulate, simulation
from kits_tf.simulation.anatomy.appearance import RANGES, Appearance
from kits_tf.simulation.anatomy.scanning import fitted
from kits_tf.simulation.phantom import PHASES
from kits_tf.simulation.phantom.materials import mixed_rng
from kits_tf.simulation.phantom.protocol import Protocol
from tests.simulation.anatomy import small_person

SMALL = {"size": 56, "slices": 24, "pixel_spacing_mm": (3.0, 3.0), "slice_spacing_mm": (2.5, 2.5)}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    paths = small_person.write(tmp_path_factory.mktemp("map"))
    return Sources((paths["map"],), paths["legend"], (paths["ct"],))


def test_the_form_of_a_case(sources):
    hu, labels, spacing_mm, affine = simulate(sources, 1, 0, **SMALL)
    assert hu.shape == labels.shape == (24, 56, 56)
    assert (hu.dtype, labels.dtype, spacing_mm) == (np.int16, np.uint8, (2.5, 3.0, 3.0))
    assert set(np.unique(labels)) <= {0, 1, 2}
    assert affine[0, 2] == affine[1, 1] == -3 and affine[2, 0] == -2.5


def test_a_case_depends_on_seed_and_number_alone(sources):
    first = simulate(sources, 5, 3, **SMALL)
    simulate(sources, 5, 2, **SMALL)
    again, other = simulate(sources, 5, 3, **SMALL), simulate(sources, 6, 3, **SMALL)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any() and (first[1] != other[1]).any()


def test_chunks_do_not_show(sources, monkeypatch):
    whole = simulate(sources, 2, 0, **SMALL)
    monkeypatch.setattr("kits_tf.simulation.phantom.simulation.CHUNK_VOXELS", 5 * 56 * 56)
    pieces = simulate(sources, 2, 0, **SMALL)
    np.testing.assert_array_equal(whole[1], pieces[1])
    assert np.abs(whole[0].astype(int) - pieces[0]).max() <= 1  # rounding of sums in another order


def test_the_right_kidney_lies_at_low_columns(sources):
    """The map's right kidney is the larger one, and the liver lies above it."""
    volumes = np.zeros(2)
    for case in range(6):
        _, labels, _, _ = simulate(sources, 7, case, **SMALL)
        volumes += (labels[:, :, :28] > 0).sum(), (labels[:, :, 28:] > 0).sum()
    assert volumes[0] > 1.15 * volumes[1] > 0


def test_kidneys_have_the_hu_of_their_draw(sources, monkeypatch):
    for masses_of in ("CYSTS", "TUMORS"):
        monkeypatch.setattr(masses, masses_of, ((0,), (1.0,)))
    for case, phase in ((0, "unenhanced"), (1, "corticomedullary"), (2, "nephrographic")):
        hu, labels, _, _ = simulate(sources, 8, case, phases=(phase,), **SMALL)
        look = Appearance(mixed_rng(8, case, simulation.MATERIALS), phase)
        low, high = sorted((look.cortex, look.medulla))
        assert low - 40 < np.median(hu[labels == 1]) < high + 40


def test_means_stay_in_their_ranges_and_phases_differ():
    for phase in PHASES:
        looks = [Appearance(mixed_rng(seed), phase) for seed in range(40)]
        low, high = RANGES["liver"][phase != PHASES[0]]
        assert all(low <= look.mean("liver") <= high for look in looks)
        assert np.ptp([look.mean("liver") for look in looks]) > 0.5 * (high - low)
    brightness = [np.mean([Appearance(mixed_rng(s), p).cortex for s in range(40)]) for p in PHASES[:2]]
    assert brightness[1] > brightness[0] + 80


def test_without_a_ct_and_from_two_maps(sources, tmp_path):
    other = small_person.write(tmp_path)["map"]
    two = Sources((sources.maps[0], other), sources.legend)
    assert sum((simulate(two, 3, case, **SMALL)[1] > 0).any() for case in range(3)) >= 2


def test_protocols_end_where_the_map_does():
    protocol = Protocol((200, 64, 64), (3.0, 1.0, 1.0), 0.5, True)
    assert fitted(protocol, 300.0, True, True).shape[0] == 100
    assert fitted(protocol, 300.0, False, True).spacing_mm[0] == 1.5
    assert fitted(protocol, 300.0, False, False) == protocol
