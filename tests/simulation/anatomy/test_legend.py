"""Legends name labels in either form, and organs are told by their names."""

import json

import pytest

from kits_tf.errors import InputError
from kits_tf.simulation.anatomy import read_legend
from kits_tf.simulation.anatomy.structures import NAMES, STRUCTURES, structure_of


def written(path, entries):
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def test_names_alone_or_with_more(tmp_path):
    path = written(tmp_path / "a.json", {"2": "Left kidney", "7": {"name": "spleen", "ml": 3.0}})
    assert read_legend(path) == {2: "Left kidney", 7: "spleen"}


@pytest.mark.parametrize(
    "entries", ["no json", [1, 2], {"one": "kidney"}, {"1": 5}, {"1": {"ml": 3}}, {"1": "spleen", "2": "liver"}]
)
def test_a_bad_legend_is_named_in_one_line(tmp_path, entries):
    path = written(tmp_path / "a.json", entries)
    with pytest.raises(InputError, match=r"a\.json"):
        read_legend(path)
    with pytest.raises(InputError, match="nowhere"):
        read_legend(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("kidney_left", "kidney_left"),
        ("Right Kidney", "kidney_right"),
        ("kidneys", "kidney"),
        ("adrenal_gland_right", "adrenal"),
        ("gallbladder", "gallbladder"),
        ("urinary_bladder", "bladder"),
        ("portal_vein_and_splenic_vein", "portal"),
        ("iliac_vena_left", "cava"),
        ("iliac_artery_left", "artery"),
        ("rib_left_7", "bone"),
        ("lung_upper_lobe_left", "lung"),
        ("gluteus_medius_left", "muscle"),
        ("esophagus", "other"),
    ],
)
def test_names_mean_structures(name, structure):
    assert structure_of(name) == structure


def test_every_structure_but_the_unsided_kidney_has_a_number():
    assert {name for name, _ in NAMES} - set(STRUCTURES) == {"kidney"}
    assert len(set(STRUCTURES)) == len(STRUCTURES)
