"""Organs are recognized by their names."""

from kits_tf.simulation.structures import NAMES, STRUCTURES, structure_of


def test_names_mean_structures():
    named = {
        "kidney_left": "kidney_left", "Right Kidney": "kidney_right", "kidneys": "kidney", "lung_upper_lobe": "lung",
        "gallbladder": "gallbladder", "adrenal_gland_right": "adrenal", "urinary_bladder": "bladder",
        "portal_vein_and_splenic_vein": "portal", "iliac_vena_left": "cava", "iliac_artery_left": "artery",
        "rib_left_7": "bone", "gluteus_medius_left": "muscle", "esophagus": "other",
    }  # fmt: skip
    assert {name: structure_of(name) for name in named} == named


def test_every_structure_has_one_number_and_its_own_name():
    assert {name for name, _ in NAMES} - set(STRUCTURES) == {"kidney"}
    assert len(set(STRUCTURES)) == len(STRUCTURES)
    assert [structure_of(name) for name in STRUCTURES] == list(STRUCTURES)
