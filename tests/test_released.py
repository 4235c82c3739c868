"""Proves that released weights are found from an installed package and from a source checkout alike."""

import pytest

from kits_tf import checkpoint
from kits_tf.errors import InputError


@pytest.mark.parametrize("package", ["site/kits_tf", "kits_tf"])
def test_weights_are_found_inside_or_beside_the_package(tmp_path, monkeypatch, package):
    inside = package.startswith("site/")
    home = tmp_path / package / "checkpoints" if inside else tmp_path / "checkpoints"
    (home / "abdomen" / "tumor").mkdir(parents=True)
    (home / "abdomen" / "MODEL_CARD.md").write_text("")
    (home / "README.md").write_text("not a folder of weights")
    (home / "still_in_training" / "tumor").mkdir(parents=True)
    monkeypatch.setattr(checkpoint, "PACKAGE", tmp_path / package)
    assert checkpoint.released_names() == ["abdomen"]
    assert checkpoint.released_folder("abdomen") == home / "abdomen"


def test_other_names_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PACKAGE", tmp_path / "kits_tf")
    with pytest.raises(InputError, match="none"):
        checkpoint.released_folder("simulated")


@pytest.mark.parametrize("name", ["", ".", "..", "simulated/tumor", "nothing"])
def test_a_name_is_not_a_path(name):
    with pytest.raises(InputError):
        checkpoint.released_folder(name)
