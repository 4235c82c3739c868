"""Prove that every engine gives what the Keras model gives."""

import os
import subprocess
import sys

import numpy as np
import pytest

from kits_tf import checkpoint, models
from kits_tf.inference import engines
from kits_tf.inference.engines import conversion
from tests.tiny import tiny_configs, write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.mark.parametrize("engine", ("tensorflow", "openvino"))
@pytest.mark.parametrize(
    "network, shape", [("kidney_axial", (3, 16, 24, 3)), ("kidney_coronal", (2, 4, 8, 3)), ("tumor", (2, 8, 4, 6, 1))]
)
def test_engine_gives_the_sigmoid_of_the_models_logits(folder, engine, network, shape):
    if engine == "openvino":
        pytest.importorskip("openvino")
    config = tiny_configs()[network]
    model = models.build(config)
    model.load_weights(folder / network / checkpoint.WEIGHTS_NAME)
    batch = np.random.default_rng(0).random(shape, np.float32)
    logits = np.asarray(model(batch, training=False)["logits"])[..., 0]
    probability = engines.load(engine, folder, {network: config}, "float32").probability(network, batch)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_bfloat16_rounds_neither_the_ct_nor_activations(tmp_path):
    """OpenVINO reads the marks that conversion leaves on all up to the first convolution, and on activations."""
    openvino = pytest.importorskip("openvino")
    from kits_tf.inference.engines.openvino import core

    opset = openvino.opset13
    batch = opset.parameter([1, 8, 8, 3], np.float32)
    found = opset.transpose(batch, np.array([0, 3, 1, 2]))
    for _ in range(2):
        weights = opset.constant(np.ones((3, 3, 1, 1), np.float32))
        found = opset.relu(opset.convolution(found, weights, [1, 1], [0, 0], [0, 0], [1, 1]))
        found = opset.transpose(found, np.array([0, 1, 3, 2]))
    openvino.save_model(openvino.Model([found], [batch]), tmp_path / "model.xml", compress_to_fp16=False)
    conversion.keep_precise(tmp_path / "model.xml")
    layers = core().read_model(tmp_path / "model.xml").get_ordered_ops()
    marked = [
        (layer.get_type_name(), any("Precision" in key for key in layer.get_rt_info()))
        for layer in layers
        if layer.get_type_name() in ("Transpose", "Convolution", "Relu")
    ]
    first = [("Transpose", True), ("Convolution", True), ("Relu", True), ("Transpose", False)]
    assert marked == [*first, ("Convolution", False), ("Relu", True), ("Transpose", False)]


def test_a_ct_of_several_channels_reaches_the_first_convolution_unrounded(tmp_path):
    openvino = pytest.importorskip("openvino")
    from kits_tf.inference.engines.openvino import core

    if "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    opset = openvino.opset13
    batch = opset.parameter([1, 8, 8, 3], np.float32)
    weights = opset.constant(np.ones((1, 3, 1, 1), np.float32))
    found = opset.convolution(opset.transpose(batch, np.array([0, 3, 1, 2])), weights, [1, 1], [0, 0], [0, 0], [1, 1])
    openvino.save_model(openvino.Model([found], [batch]), tmp_path / "model.xml", compress_to_fp16=False)
    conversion.keep_precise(tmp_path / "model.xml")
    compiled = core().compile_model(tmp_path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    ct = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
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
