"""Prove that every engine gives what the Keras model gives."""

import os
import subprocess
import sys

import numpy as np
import pytest

from kits_tf import checkpoint, models
from kits_tf.errors import UsageError
from kits_tf.inference import engines
from kits_tf.inference.engines import conversion
from tests.tiny import tiny_configs, write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module", params=("tensorflow", "openvino"))
def engine(request, folder):
    pytest.importorskip(request.param)
    return engines.load(request.param, folder, tiny_configs(), "float32")


@pytest.mark.parametrize(
    "network, shape", [("kidney_axial", (3, 16, 24, 3)), ("kidney_coronal", (2, 4, 8, 3)), ("tumor", (2, 8, 4, 6, 1))]
)
def test_engine_gives_the_sigmoid_of_the_models_logits(folder, engine, network, shape):
    """Also where there are more batches than work at once, of which the last is smaller."""
    model = models.build(tiny_configs()[network])
    model.load_weights(folder / network / checkpoint.WEIGHTS_NAME)
    batch = np.random.default_rng(0).random(shape, np.float32)
    logits = np.asarray(model(batch, training=False)["logits"])[..., 0]
    found = list(engine.probabilities(network, [*[batch] * 7, batch[:1]]))
    assert len(found) == 8
    for one in found:
        np.testing.assert_allclose(one, 1 / (1 + np.exp(-logits[: len(one)])), atol=1e-5)


def test_openvino_compiles_nothing_anew_for_batches_smaller_than_prepared(folder, monkeypatch):
    pytest.importorskip("openvino")
    engine, network = engines.load("openvino", folder, tiny_configs(), "float32"), "kidney_axial"
    engine.prepare(network, (4, 16, 24, 3))
    batch = np.random.default_rng(0).random((4, 16, 24, 3), np.float32)
    expected = engine.probability(network, batch)
    monkeypatch.setattr(engine, "_compile_anew", lambda *_: pytest.fail("compiled"))
    for count in (3, 1):
        np.testing.assert_allclose(engine.probability(network, batch[:count]), expected[:count], atol=1e-6)


def test_a_precision_that_an_engine_lacks_is_refused(folder):
    with pytest.raises(UsageError, match="^--precision: "):
        engines.load("tensorflow", folder, {}, "bfloat16")


def test_tensorflow_refuses_another_backend_of_keras(folder, monkeypatch):
    """Its networks would fail within their first call."""
    monkeypatch.setattr("keras.config.backend", lambda: "jax")
    with pytest.raises(UsageError, match="jax.*KERAS_BACKEND"):
        engines.load("tensorflow", folder, tiny_configs())


def test_a_gpu_needs_tensorflow():
    pytest.importorskip("openvino")
    assert engines.resolve("auto", "gpu:0") == "tensorflow"
    assert engines.resolve("auto", "cpu") == "openvino"
    with pytest.raises(UsageError, match="^--device: must be auto or cpu with --engine=openvino, got gpu:0"):
        engines.resolve("openvino", "gpu:0")


def test_bfloat16_rounds_neither_the_ct_nor_activations(tmp_path):
    """OpenVINO reads the marks that conversion leaves on all up to the first convolution, and on activations."""
    openvino = pytest.importorskip("openvino")
    from kits_tf.inference.engines.openvino import core

    opset, path = openvino.opset13, tmp_path / "model.xml"
    batch = opset.parameter([1, 8, 8, 3], np.float32)
    first = opset.transpose(batch, np.array([0, 3, 1, 2]))
    first = found = opset.convolution(first, np.ones((1, 3, 1, 1), np.float32), [1, 1], [0, 0], [0, 0], [1, 1])
    for _ in range(2):
        found = opset.transpose(opset.relu(found), np.array([0, 1, 3, 2]))
        found = opset.convolution(found, np.ones((1, 1, 1, 1), np.float32), [1, 1], [0, 0], [0, 0], [1, 1])
    openvino.save_model(openvino.Model([first, found], [batch]), path, compress_to_fp16=False)
    conversion.keep_precise(path)
    marked = [
        (layer.get_type_name(), any("Precision" in key for key in layer.get_rt_info()))
        for layer in core().read_model(path).get_ordered_ops()
        if layer.get_type_name() in ("Transpose", "Convolution", "Relu")
    ]
    later = [("Relu", True), ("Transpose", False), ("Convolution", False)]
    assert marked == [("Transpose", True), ("Convolution", True), *later, *later]
    if "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        ct = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
        compiled = core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
        np.testing.assert_allclose(compiled([ct])[0][0, 0], ct[0].sum(-1), rtol=1e-6)


def test_loading_and_converting_resolve_no_name_and_keep_no_id_at_home(folder, tmp_path):
    """OpenVINO's telemetry looks up an analytics host and keeps an id in the home folder."""
    pytest.importorskip("openvino")
    code = f"""
import pathlib, socket
socket.getaddrinfo = socket.gethostbyname = lambda *a, **k: pathlib.Path({str(tmp_path / "asked")!r}).touch()
from kits_tf.inference.segmenter import load_segmenter
load_segmenter({str(folder)!r}, "openvino", "axial", stage="kidney")
"""
    (tmp_path / "home").mkdir()
    (tmp_path / "sitecustomize.py").write_text(code[: code.index("from kits_tf")])  # in the process that converts too
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    changes = {"HOME": str(tmp_path / "home"), "KITS_TF_CACHE": str(tmp_path / "cache"), "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], env=os.environ | changes, check=True)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert not (tmp_path / "asked").exists() and not (tmp_path / "home" / "intel").exists()
