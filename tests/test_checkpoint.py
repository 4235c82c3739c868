"""Proves what makes a checkpoint: which names and folders are found, and that its networks go together."""

import dataclasses
import json
import pathlib

import pytest

from kits_tf import checkpoint, config
from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME, released_folder
from kits_tf.config import preset
from kits_tf.errors import InputError

NAMES = checkpoint.network_names()


def write(folder, shares, preset_name="best"):
    """Writes the configs of networks with these `min_component_share`, in that order, and empty weights."""
    for name, share in shares.items():
        stage, _, plane = name.partition("_")
        one = dataclasses.replace(preset(preset_name, stage, plane or None), min_component_share=share)
        config.save(one, folder / name / CONFIG_NAME)
        (folder / name / WEIGHTS_NAME).touch()


def test_a_folder_or_a_name_is_found(tmp_path, monkeypatch):
    assert checkpoint.find(str(tmp_path)) == checkpoint.find(tmp_path) == tmp_path
    monkeypatch.chdir(tmp_path)
    assert checkpoint.find(pathlib.Path()) == checkpoint.find(".") == pathlib.Path()
    for name in checkpoint.released_names():
        assert checkpoint.find(name) == released_folder(name)


@pytest.mark.parametrize("name", ["", "nothing", "/nowhere"])
def test_what_is_neither_is_refused(tmp_path, monkeypatch, name):
    """No text would be the current folder, where a checkpoint may lie."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^{name or repr(name)}: no such checkpoint folder"):
        checkpoint.find(name)


@pytest.mark.parametrize("odd", NAMES)
@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]], ids=("in order", "reversed"))
def test_networks_that_drop_other_pieces_are_refused(tmp_path, odd, order):
    write(tmp_path, {name: 0.2 if name == odd else 0.33 for name in NAMES})
    first, other = (order[0], order[1] if odd == order[0] else odd)
    share = {odd: "0.2"}
    reason = f"min_component_share is {share.get(other, '0.33')}, in {first} it is {share.get(first, '0.33')}: takes"
    with pytest.raises(InputError, match=f"^{tmp_path / other / CONFIG_NAME}: {reason} the same in all networks"):
        checkpoint.load_configs(tmp_path, order)
    rest = [name for name in order if name != odd]
    assert list(checkpoint.load_configs(tmp_path, rest)) == rest
    assert list(checkpoint.load_configs(tmp_path, [odd])) == [odd]


def test_networks_of_before_the_option_go_with_those_of_the_paper(tmp_path):
    write(tmp_path, dict.fromkeys(NAMES, 0), "paper")
    for name in ("kidney_axial", "tumor"):
        path = tmp_path / name / CONFIG_NAME
        options = json.loads(path.read_text())
        del options["min_component_share"]
        path.write_text(json.dumps(options))
    assert list(checkpoint.load_configs(tmp_path, NAMES)) == NAMES
