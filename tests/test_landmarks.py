"""Proves that a CT stored back to front or upside down is told, by phantoms and by real CTs, and no other."""

import tracemalloc

import numpy as np
import pytest

from kits_tf.io.volume import read_volume
from kits_tf.landmarks import orientation_warnings

SPACING_MM = (5.0, 3.0, 3.0)
SPINE, LUNGS = "the spine lies in front", "the lungs lie below"
REAL_CTS = [f"hcc_{name}" for name in ("006", "009_arterial_1", "009_arterial_2", "009_portal", "011_arterial",
                                       "011_late", "011_portal", "015_arterial", "015_portal")]  # fmt: skip
REAL_CTS += ["cptac_00249", "lidc_0001", "tcga_ov_2043"]


def person(lungs=True, spine=True, gas=False):
    """An elliptic body with a spine behind, lungs in the upper third and gas in the lower."""
    r, c = np.meshgrid(np.linspace(-1, 1, 90), np.linspace(-1, 1, 120), indexing="ij")
    hu = np.full((40, 90, 120), -1000, np.int16)
    hu[:, r**2 + c**2 < 0.9] = 40
    if spine:
        hu[:, (r - 0.5) ** 2 + (1.3 * c) ** 2 < 0.04] = 300
    if lungs:
        hu[:13, r**2 + (np.abs(c) - 0.45) ** 2 < 0.1] = -850
    if gas:
        hu[25:, (r + 0.5) ** 2 + c**2 < 0.15] = -1000
    return hu


@pytest.mark.parametrize("spacing_mm", [SPACING_MM, (0.8, 0.7, 0.7), (10.0, 5.0, 5.0)], ids=str)
def test_a_person_and_each_way_of_turning_it(spacing_mm):
    repeats = [round(mine / mm) or 1 for mine, mm in zip(SPACING_MM, spacing_mm, strict=True)]
    steps = [max(1, round(mm / mine)) for mine, mm in zip(SPACING_MM, spacing_mm, strict=True)]
    hu = person()[:: steps[0], :: steps[1], :: steps[2]]
    for axis, count in enumerate(repeats):
        hu = hu.repeat(count, axis)

    def reasons(turned):
        return [text.partition(":")[0] for text in orientation_warnings(turned, spacing_mm)]

    assert reasons(hu) == reasons(hu[:, :, ::-1]) == []
    assert reasons(hu[:, ::-1]) == [SPINE]
    assert reasons(hu[::-1]) == [LUNGS]
    assert reasons(hu[::-1, ::-1]) == [SPINE, LUNGS]


@pytest.mark.parametrize(
    "missing", [{"lungs": False}, {"lungs": False, "gas": True}, {"spine": False, "lungs": False}]
)
@pytest.mark.parametrize("axis", [0, 1])
def test_without_evidence_nothing_is_said(missing, axis):
    """Gas in the bowel is no lung."""
    found = orientation_warnings(np.flip(person(**missing), axis), SPACING_MM)
    assert len(found) == (axis == 1 and missing.get("spine", True))


def test_swapped_rows_and_columns_are_told():
    """The body is 340 mm deep and 256 mm wide."""
    swapped = np.ascontiguousarray(np.pad(person(), ((0, 0), (9, 9), (9, 9)), mode="edge").transpose(0, 2, 1))
    (found,) = [text for text in orientation_warnings(swapped, SPACING_MM) if "axes may be swapped" in text]
    depth, width = (int(word) for word in found.split() if word.isdigit())
    assert depth == pytest.approx(0.9**0.5 * 360, abs=15) and width == pytest.approx(0.9**0.5 * 270, abs=15)


def test_a_chest_down_to_its_base_is_not_upside_down():
    """Lungs from the first slice to the last."""
    chest = np.repeat(person()[:1], 40, axis=0)
    assert orientation_warnings(chest, SPACING_MM) == orientation_warnings(chest[::-1], SPACING_MM) == []


@pytest.mark.parametrize("shape", [(1, 40, 50), (3, 1, 1), (1, 1, 200), (200, 2, 2)], ids=str)
def test_arrays_without_a_person(shape):
    for hu in (0, -1000, 3000):
        assert orientation_warnings(np.full(shape, hu, np.int16), (1.0, 1.0, 1.0)) == []


def test_a_large_ct_is_looked_at_without_another_copy():
    hu = np.tile(person(), (8, 2, 2))
    tracemalloc.start()
    orientation_warnings(hu, (10.0, 4.0, 4.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * hu.nbytes


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL_CTS)
def test_real_cts_and_their_turns(shared_data, name):
    ct = read_volume(shared_data / "real_ct" / name / "imaging.nii.gz")
    found = [orientation_warnings(hu, ct.spacing_mm) for hu in (ct.hu, ct.hu[:, ::-1], ct.hu[::-1])]
    assert [[text.partition(":")[0] for text in texts] for texts in found] == [[], [SPINE], [LUNGS]]
