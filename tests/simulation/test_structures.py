"""Organs are recognized by their names."""

import pytest

from kits_tf.simulation.structures import NAMES, STRUCTURES, structure_of

NAMED = {
    "kidney_left": "kidney_left", "Right Kidney": "kidney_right", "kidneys": "kidney", "gallbladder": "gallbladder",
    "adrenal_gland_right": "adrenal", "urinary_bladder": "bladder", "portal_vein_and_splenic_vein": "portal",
    "iliac_vena_left": "cava", "iliac_artery_left": "artery", "rib_left_7": "bone", "lung_upper_lobe_left": "lung",
    "gluteus_medius_left": "muscle", "esophagus": "other",
}  # fmt: skip


@pytest.mark.parametrize(("name", "structure"), NAMED.items())
def test_names_mean_structures(name, structure):
    assert structure_of(name) == structure


def test_every_structure_has_one_number_and_its_own_name():
    assert {name for name, _ in NAMES} - set(STRUCTURES) == {"kidney"}
    assert len(set(STRUCTURES)) == len(STRUCTURES)
    assert [structure_of(name) for name in STRUCTURES] == list(STRUCTURES)
