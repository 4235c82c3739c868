"""Legends and maps are checked and brought to the working axes; the bundled ones are complete."""

import json

import numpy as np
import pytest

from kits_tf.errors import InputError
from kits_tf.simulation import Anatomy, bundled_anatomies
from kits_tf.simulation.organ_map import BUNDLED, read_legend
from kits_tf.simulation.refinement import UNLABELLED
from kits_tf.simulation.structures import INDEX
from tests.simulation import small_person


def test_a_legend_has_names_alone_or_with_more(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"2": "Left kidney", "7": {"name": "spleen", "ml": 3.0}}))
    assert read_legend(path) == {2: "Left kidney", 7: "spleen"}


@pytest.mark.parametrize(
    "text", ["no json", "[1, 2]", '{"one": "kidney"}', '{"1": 5}', '{"1": {"ml": 3}}', '{"1": "spleen"}']
)
def test_a_bad_legend_is_named(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.json"):
        read_legend(path)
    with pytest.raises(InputError, match="nowhere"):
        read_legend(tmp_path / "nowhere.json")


@pytest.mark.parametrize("axes", ["RAS", "IPL", "LPS"])
def test_any_orientation_gives_the_working_axes(tmp_path, axes):
    paths = small_person.write(tmp_path, axes=axes)
    structures, spacing_mm = Anatomy(paths["map"], paths["legend"]).check()
    assert spacing_mm == (3.0, 3.0, 3.0)
    expected = small_person.organs()
    np.testing.assert_array_equal(structures == INDEX["kidney_right"], expected == 2)
    np.testing.assert_array_equal(structures == INDEX["other"], expected == 7)
    np.testing.assert_array_equal(structures == UNLABELLED, expected == 0)


def test_a_kidney_without_a_side_is_the_side_it_lies_on(tmp_path):
    legend = {str(k): "kidney" if k in (2, 3) else name for k, name in small_person.LEGEND.items()}
    paths = small_person.write(tmp_path, legend=legend)
    structures, _ = Anatomy(paths["map"], paths["legend"]).check()
    np.testing.assert_array_equal(structures == INDEX["kidney_left"], small_person.organs() == 3)


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


def test_a_ct_of_another_grid_is_refused(tmp_path):
    paths = small_person.write(tmp_path)
    short = small_person.write(tmp_path / "short", small_person.organs()[1:])["map"]
    with pytest.raises(InputError, match=r"imaging\.nii\.gz.*another grid"):
        Anatomy(short, paths["legend"], paths["ct"]).check()


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
