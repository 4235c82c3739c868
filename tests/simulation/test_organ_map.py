"""Legends and maps are checked and brought to the working axes; the bundled ones are complete."""

import json

import numpy as np
import pytest

from kits_tf.errors import InputError
from kits_tf.simulation import Anatomy, bundled_anatomies
from kits_tf.simulation.fields import random_generator
from kits_tf.simulation.organ_map import BUNDLED, draw_anatomy, read_legend
from kits_tf.simulation.refinement import UNLABELLED
from kits_tf.simulation.structures import INDEX
from tests.simulation import small_person


def test_a_legend_has_names_alone_or_with_more(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"2": "Left kidney", "7": {"name": "spleen", "ml": 3.0}}))
    assert read_legend(path) == {2: "Left kidney", 7: "spleen"}


@pytest.mark.parametrize("text", [None, "no json", "[1, 2]", '{"one": "kidney"}', '{"1": 5}', '{"1": "spleen"}'])
def test_a_bad_legend_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json"):
        read_legend(tmp_path / "a.json")


@pytest.mark.parametrize("axes", ["RAS", "IPL", "LPS"])
def test_any_orientation_gives_the_working_axes(tmp_path, axes):
    """A kidney named without a side is that of the side it lies on."""
    named = {str(k): "kidney" if k in (2, 3) and axes == "LPS" else name for k, name in small_person.LEGEND.items()}
    paths = small_person.write(tmp_path, legend=named, axes=axes)
    structures, spacing_mm = Anatomy(paths["map"], paths["legend"]).check()
    assert spacing_mm == (3.0, 3.0, 3.0)
    expected = small_person.organs()
    numbers = {INDEX["kidney_right"]: 2, INDEX["kidney_left"]: 3, INDEX["other"]: 7, UNLABELLED: 0}
    for number, label in numbers.items():
        np.testing.assert_array_equal(structures == number, expected == label)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda labels: labels * 0, "no kidney"),
        (lambda labels: labels + 90 * (labels == 7), "label 97"),
        (lambda labels: labels * (labels != 2) * (labels != 3), "no kidney"),
        (lambda labels: labels + np.float32(0.5) * (labels == 7), "whole numbers"),
    ],
)
def test_bad_maps_are_refused(tmp_path, change, reason):
    paths = small_person.write(tmp_path, change(small_person.organs()).astype(np.float32))
    with pytest.raises(InputError, match=reason):
        Anatomy(paths["map"], paths["legend"]).check()


def test_maps_whose_tissue_a_ct_has_split_are_drawn_twice_as_often():
    anatomies = (Anatomy("a", "b"), Anatomy("a", "b", "ct"), Anatomy("a", "b", complete=True), Anatomy("a", "b"))
    rng = random_generator(0)
    counts = np.bincount([draw_anatomy(rng, anatomies) for _ in range(3000)])
    np.testing.assert_allclose(counts / 3000, (1 / 6, 1 / 3, 1 / 3, 1 / 6), atol=0.03)
    assert sorted(anatomy.complete for anatomy in bundled_anatomies()) == [False, False, True]


def test_three_maps_are_bundled_with_their_licences():
    anatomies = bundled_anatomies()
    assert len(anatomies) == 3
    licences = (BUNDLED / "LICENSES.md").read_text()
    for anatomy in anatomies:
        assert anatomy.labels.name in licences
        structures, spacing_mm = anatomy.check()
        voxel_ml = np.prod(spacing_mm) / 1000
        right, left = (np.argwhere(structures == INDEX[f"kidney_{side}"]) for side in ("right", "left"))
        assert 80 < len(right) * voxel_ml < 400 and 80 < len(left) * voxel_ml < 400
        assert right[:, 2].mean() < left[:, 2].mean()  # the patient's right is at low columns
        liver, bladder = (np.argwhere(structures == INDEX[name]) for name in ("liver", "bladder"))
        assert liver[:, 0].mean() < right[:, 0].mean() < bladder[:, 0].mean()  # slices run downwards
        assert right[:, 1].mean() > liver[:, 1].mean()  # rows run backwards
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 500_000
