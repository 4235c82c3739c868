"""Proves what kits-export writes: layout, signatures, sizes, equality with the Keras models, all of it or nothing."""

import json

import numpy as np
import pytest
import tensorflow as tf

from kits_tf import checkpoint
from kits_tf.cli import app, export
from kits_tf.export import folder as export_folder
from kits_tf.export import networks
from tests.export.decisive import decisive_checkpoint
from tests.tiny import tiny_configs

NAMES = sorted(tiny_configs())
VOLUME = {"dtype": "float32", "shape": [None, None, None]}
SPACING_MM = {"dtype": "float32", "shape": [3]}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return decisive_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def models(weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("models")
    assert run(f"--checkpoint_dir={weights}", f"--output_dir={out}") == 0
    return out


def run(*arguments):
    return app.execute(export.main, export.FLAGS, ["kits-export", *map(str, arguments)])


def network(weights, name):
    return networks.exported(weights / name, checkpoint.load_configs(weights, [name])[name])


def test_every_model_lies_in_its_versions_folder_with_signature_and_card(models):
    assert sorted(path.name for path in models.iterdir()) == sorted([*NAMES, "system"])
    for model in models.iterdir():
        assert [path.name for path in model.iterdir()] == ["1"]
        assert {"saved_model.pb", "variables", "signature.json", "MODEL_CARD.md"} <= {
            path.name for path in (model / "1").iterdir()
        }
        assert f"# {model.name}" in (model / "1" / "MODEL_CARD.md").read_text()


def test_the_systems_signature_is_the_promised_one(models):
    signatures = json.loads((models / "system" / "1" / "signature.json").read_text())["signatures"]
    assert signatures["serving_default"] == {
        "inputs": {"spacing_mm": SPACING_MM, "volume": VOLUME},
        "outputs": {"labels": {"dtype": "uint8", "shape": [None, None, None]}},
    }
    assert set(signatures) == {"compact", "measurements", "probabilities", "serving_default"}


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_network_gives_what_keras_gives(models, weights, name):
    expected = network(weights, name)
    batch = expected.sample(seed=3)
    serve = tf.saved_model.load(str(models / name / "1")).signatures["serving_default"]
    found = {key: value.numpy() for key, value in serve(**{expected.input_name: tf.constant(batch)}).items()}
    assert networks.largest_difference(found, expected.expected(batch)) < 1e-5


def test_weights_are_stored_once_and_nothing_of_training(models, weights):
    total = 0
    for name in NAMES:
        expected = 4 * network(weights, name).module.model.count_params()
        total += expected
        assert stored_values(models / name / "1") == expected
    assert stored_values(models / "system" / "1") == total


def stored_values(folder):
    """Bytes of all variables in a SavedModel."""
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    return sum(4 * int(np.prod(shapes[name])) for name in shapes if types[name] == tf.float32)


def test_openvino_reads_the_saved_model_directly(models, weights):
    openvino = pytest.importorskip("openvino")
    for name in NAMES:
        expected = network(weights, name)
        batch = expected.sample()
        model = openvino.convert_model(models / name / "1")
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        result = compiled([batch])
        found = {key: result[key] for key in expected.expected(batch)}
        assert networks.largest_difference(found, expected.expected(batch)) < 1e-4


@pytest.mark.parametrize(
    "kind, needs, file", [("openvino", "openvino", "model.xml"), ("onnx", "tf2onnx", "model.onnx")]
)
def test_other_formats_are_checked_and_written(weights, tmp_path, capsys, kind, needs, file):
    pytest.importorskip(needs)
    assert run(f"--checkpoint_dir={weights}", f"--output_dir={tmp_path}", f"--format={kind}", "--version=3") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES
    assert capsys.readouterr().out.count("differs from the Keras model by") == len(NAMES)
    for name in NAMES:
        written = {path.name for path in (tmp_path / name / "3").iterdir()}
        assert {file, "signature.json", "MODEL_CARD.md"} <= written


def test_a_version_is_never_written_over(models, weights, capsys):
    assert run(f"--checkpoint_dir={weights}", f"--output_dir={models}") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "--version" in line


def test_a_failure_leaves_nothing(weights, tmp_path, monkeypatch):
    def fail(*arguments):
        (arguments[2] / "tumor").mkdir(parents=True)
        raise RuntimeError("no space")

    monkeypatch.setattr(export_folder, "write", fail)
    with pytest.raises(RuntimeError):
        export_folder.export(weights, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--checkpoint_dir=/nowhere"], "--checkpoint_dir"),
        (["--format=caffe"], "--format"),
        (["--version=0"], "--version"),
    ],
)
def test_unusable_flags(tmp_path, capsys, arguments, named):
    assert run(f"--output_dir={tmp_path}", *arguments) == 2
    assert named in capsys.readouterr().err
