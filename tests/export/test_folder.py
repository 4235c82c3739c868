"""Proves what `export` writes: layout, signatures, sizes, all of it or nothing."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from kits_tf.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from kits_tf.config import save
from kits_tf.errors import InputError, UsageError
from kits_tf.export import folder as export_folder
from tests.tiny import tiny_configs

NAMES = sorted(tiny_configs())
ANY, SPACING_MM = [None, None, None], {"dtype": "float32", "shape": [3]}
CT = {"spacing_mm": SPACING_MM, "volume": {"dtype": "float32", "shape": ANY}}
NUMBER = {"dtype": "float32", "shape": []}


def test_every_model_lies_in_its_versions_folder_with_signature_and_card(exported_models):
    assert sorted(path.name for path in exported_models.iterdir()) == sorted([*NAMES, "system"])
    for model in exported_models.iterdir():
        assert [path.name for path in model.iterdir()] == ["1"]
        assert {"saved_model.pb", "variables", "signature.json", "MODEL_CARD.md"} <= {
            path.name for path in (model / "1").iterdir()
        }
        assert f"# {model.name}" in (model / "1" / "MODEL_CARD.md").read_text()


def test_the_systems_signatures_are_the_promised_ones(exported_models):
    signatures = json.loads((exported_models / "system" / "1" / "signature.json").read_text())["signatures"]
    assert signatures["serving_default"] == {"inputs": CT, "outputs": {"labels": {"dtype": "uint8", "shape": ANY}}}
    shape, string = {"dtype": "int32", "shape": [3]}, {"dtype": "string", "shape": []}
    assert signatures["compact"] == {
        "inputs": {"shape": shape, "spacing_mm": SPACING_MM, "volume_bytes": string},
        "outputs": {"labels_bytes": string, "shape": shape},
    }
    probability = {"dtype": "float32", "shape": ANY}
    assert signatures["probabilities"] == {
        "inputs": CT,
        "outputs": {"kidney_probability": probability, "tumor_probability": probability},
    }
    names = [f"{side}{organ}_ml" for side in ("", "right_", "left_") for organ in ("kidney", "tumor")]
    assert signatures["measurements"] == {"inputs": CT, "outputs": dict.fromkeys(names, NUMBER)}
    assert len(signatures) == 4


@pytest.mark.parametrize("name", NAMES)
def test_a_networks_signature_is_the_promised_one(exported_models, name):
    signature = json.loads((exported_models / name / "1" / "signature.json").read_text())["signatures"]
    inputs, outputs = (signature["serving_default"][kind] for kind in ("inputs", "outputs"))
    size = [None, None, None, None] if name == "tumor" else [None, None, None]
    last = {"block": 1} if name == "tumor" else {"slab": 3}
    assert inputs == {key: {"dtype": "float32", "shape": [*size, depth]} for key, depth in last.items()}
    assert outputs["probability"] == {"dtype": "float32", "shape": size}


def test_weights_are_stored_once_and_nothing_of_training(exported_models):
    total = 0
    for name in NAMES:
        folder = exported_models / name / "1"
        weights = stored_bytes(folder)
        assert weights == 4 * parameters(name)
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < weights + 1e6
        total += weights
    system = exported_models / "system" / "1"
    assert stored_bytes(system) == total
    assert sum(path.stat().st_size for path in system.rglob("*") if path.is_file()) < total + 5e6


def parameters(name):
    """How many numbers a network has, those of batch normalisation included."""
    from kits_tf import models

    return models.build(tiny_configs()[name]).count_params()


def stored_bytes(folder):
    """Bytes of all float32 variables in a SavedModel; there must be no other but TensorFlow's own table."""
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    assert {name for name in shapes if types[name] != tf.float32} <= {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    return sum(4 * int(np.prod(shapes[name])) for name in shapes if types[name] == tf.float32)


def test_a_version_is_never_written_over(exported_models, decisive_weights):
    with pytest.raises(UsageError, match="--version: .*is there already"):
        export_folder.export(decisive_weights, exported_models)


@pytest.mark.parametrize("name", ["kidney_axial", "kidney_coronal", "tumor"])
def test_networks_that_drop_other_pieces_are_refused(tmp_path, name):
    configs = tiny_configs()
    configs[name] = dataclasses.replace(configs[name], min_component_share=0.2)
    for network, config in configs.items():
        save(config, tmp_path / network / CONFIG_NAME)
        (tmp_path / network / WEIGHTS_NAME).touch()
    with pytest.raises(
        InputError, match=r"config.json: min_component_share is 0\.\d+, in kidney_axial it is 0\.\d+: "
    ):
        export_folder.export(tmp_path, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_failure_leaves_nothing(decisive_weights, tmp_path, monkeypatch):
    def fail(*arguments):
        (arguments[2] / "tumor").mkdir(parents=True)
        raise RuntimeError("no space")

    monkeypatch.setattr(export_folder, "write", fail)
    with pytest.raises(RuntimeError):
        export_folder.export(decisive_weights, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_two_exports_at_once_do_not_meet(tmp_path):
    """Process numbers repeat between hosts and containers that share a folder."""
    with export_folder.together(tmp_path, ["a"], 1) as one, export_folder.together(tmp_path, ["b"], 1) as other:
        (one / "a").mkdir()
        (other / "b").mkdir()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*")) == ["a/1", "b/1"]


def test_a_version_that_appears_meanwhile_takes_back_what_was_moved(tmp_path):
    names = ("a", "b")
    with pytest.raises(UsageError), export_folder.together(tmp_path, names, 1) as temporary:
        for name in names:
            (temporary / name).mkdir()
        (tmp_path / "b" / "1").mkdir(parents=True)
        (tmp_path / "b" / "1" / "model").touch()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "b" / "1" / "model"]
    assert not (tmp_path / "a" / "1").exists()
