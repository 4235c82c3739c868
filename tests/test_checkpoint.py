"""Checkpoints: which names and folders are found, which networks belong together, and what their models compute."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest

import kits_tf
from kits_tf import checkpoint, config, models
from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from kits_tf.config import preset
from kits_tf.errors import InputError
from tests.tiny import tiny_configs, write_checkpoint

NAMES = checkpoint.network_names()


def test_a_folder_or_a_name_is_found(tmp_path, monkeypatch):
    assert checkpoint.find(str(tmp_path)) == checkpoint.find(tmp_path) == tmp_path
    monkeypatch.chdir(tmp_path)
    assert checkpoint.find(pathlib.Path()) == checkpoint.find(".") == pathlib.Path()
    assert checkpoint.DEFAULT in checkpoint.released_names()
    for name in checkpoint.released_names():
        assert checkpoint.find(name) == checkpoint.find(pathlib.Path(name)) == checkpoint.released_root() / name


@pytest.mark.parametrize("name", ["", "nothing", "/nowhere", "default/tumor"])
def test_other_names_are_refused(tmp_path, monkeypatch, name):
    """The empty string would be the current folder, where a checkpoint may be."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^{name or repr(name)}: no such checkpoint folder"):
        checkpoint.find(name)


@pytest.mark.parametrize("package", ["site/kits_tf", "kits_tf"])
def test_released_weights_are_inside_or_beside_the_package(tmp_path, monkeypatch, package):
    inside = package.startswith("site/")
    home = tmp_path / package / "checkpoints" if inside else tmp_path / "checkpoints"
    (home / "abdomen" / "tumor").mkdir(parents=True)
    (home / "abdomen" / "README.md").write_text("")
    (home / "still_in_training" / "tumor").mkdir(parents=True)
    monkeypatch.setattr(checkpoint, "PACKAGE", tmp_path / package)
    assert checkpoint.released_names() == ["abdomen"]
    assert checkpoint.find("abdomen") == home / "abdomen"


def test_released_weights_have_a_notice_and_other_checkpoints_may_have_one(tmp_path):
    for name in checkpoint.released_names():
        assert "eye" in checkpoint.load_notice(checkpoint.find(name))
    assert checkpoint.load_notice(tmp_path) == ""
    (tmp_path / checkpoint.NOTICE_NAME).write_text("For one\n scanner. \n", encoding="utf-8")
    assert checkpoint.load_notice(tmp_path) == "For one scanner."
    (tmp_path / checkpoint.NOTICE_NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=f"^{tmp_path / checkpoint.NOTICE_NAME}: cannot be read as text"):
        checkpoint.load_notice(tmp_path)


def test_released_weights_are_small():
    """Every clone and wheel has them."""
    for name in checkpoint.released_names():
        assert sum(path.stat().st_size for path in checkpoint.find(name).glob("*/*.h5")) <= 25e6


@pytest.mark.parametrize(
    ("odd", "option", "value"),
    [(odd, option, 0.2) for odd in NAMES for option in ("min_component_ml", "min_agreement")]
    + [(odd, "fusion", "mean") for odd in NAMES[:3]],
)
def test_networks_that_differ_in_what_they_share_are_refused(tmp_path, odd, option, value):
    for name in NAMES:
        stage, _, plane = name.partition("_")
        one = preset("best", stage, plane or None)
        one = dataclasses.replace(one, **({option: value} if name == odd else {}))
        config.save(one, tmp_path / name / CONFIG_NAME)
        (tmp_path / name / WEIGHTS_NAME).touch()
    culprit = NAMES[1] if odd == NAMES[0] else odd
    with pytest.raises(InputError, match=f"^{tmp_path / culprit / CONFIG_NAME}: {option} .* same"):
        checkpoint.load_configs(tmp_path, NAMES)
    rest = [name for name in NAMES if name != odd]
    assert list(checkpoint.load_configs(tmp_path, rest)) == rest


def test_configs_from_before_an_option_have_its_default(tmp_path):
    path = tmp_path / CONFIG_NAME
    config.save(preset("paper", "tumor"), path)
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "min_agreement"}))
    assert config.load(path) == preset("paper", "tumor")


@pytest.mark.parametrize("share, agreement", [(0.0, 0.0), (0.33, 0.5)])
def test_configs_that_chose_components_by_size_choose_them_by_agreement(tmp_path, share, agreement):
    path = tmp_path / CONFIG_NAME
    config.save(preset("paper", "tumor"), path)
    options = json.loads(path.read_text())
    del options["min_agreement"]
    path.write_text(json.dumps(options | {"min_component_share": share}))
    assert config.load(path) == dataclasses.replace(preset("paper", "tumor"), min_agreement=agreement)


def test_configs_from_before_min_component_ml_drop_what_they_dropped(tmp_path):
    """2 ml were fixed then, in `paper`, too; now it keeps every component."""
    path = tmp_path / CONFIG_NAME
    config.save(preset("paper", "tumor"), path)
    assert config.load(path).min_component_ml == 0
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "min_component_ml"}))
    assert config.load(path).min_component_ml == 2


def test_a_loaded_network_is_the_saved_one(tmp_path):
    write_checkpoint(tmp_path)
    network = kits_tf.load_network(tmp_path, "kidney_coronal")
    assert isinstance(network, models.KidneyNetwork)
    expected = models.build(config.load(tmp_path / "kidney_coronal" / CONFIG_NAME))
    expected.load_weights(tmp_path / "kidney_coronal" / WEIGHTS_NAME)
    x = np.random.default_rng(0).random((1, 8, 8, 3), "float32")
    for got, value in zip(keras.tree.flatten(network(x)), keras.tree.flatten(expected(x)), strict=True):
        np.testing.assert_array_equal(got, value)


@pytest.mark.parametrize(
    ("network", "fault", "message"),
    [
        ("kidney", lambda folder: None, "no such network"),
        ("tumor", lambda folder: (folder / "tumor" / WEIGHTS_NAME).write_text("x"), "does not hold weights"),
        ("tumor", lambda folder: (folder / "tumor" / WEIGHTS_NAME).unlink(), "no such file"),
        ("tumor", lambda folder: (folder / "tumor" / CONFIG_NAME).unlink(), "no such file"),
        ("tumor", lambda folder: (folder / "kidney_axial").replace(folder / "x") and
         (folder / "x" / CONFIG_NAME).replace(folder / "tumor" / CONFIG_NAME), "is the config of kidney_axial"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_is_named(tmp_path, network, fault, message):
    write_checkpoint(tmp_path, {name: tiny_configs()[name] for name in ("kidney_axial", "tumor")})
    fault(tmp_path)
    with pytest.raises(InputError, match=message):
        checkpoint.load_network(tmp_path, network)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    """By prediction they would find no kidney, without an error."""
    write_checkpoint(tmp_path, {"tumor": tiny_configs()["tumor"]})
    model = checkpoint.load_network(tmp_path, "tumor")
    model.get_layer("logits").bias.assign([np.nan])
    model.save_weights(tmp_path / "tumor" / WEIGHTS_NAME)
    with pytest.raises(InputError, match="not finite; did the training diverge"):
        checkpoint.load_network(tmp_path, "tumor")
