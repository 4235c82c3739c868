"""Proves that every engine gives what the Keras model gives."""

import numpy as np
import pytest

from kits_tf import checkpoint, models
from kits_tf.inference import conversion, engines
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
    """OpenVINO reads the marks that conversion leaves on the first convolution, on no other, and on activations."""
    openvino = pytest.importorskip("openvino")
    from kits_tf.openvino_core import core

    opset = openvino.opset13
    found = batch = opset.parameter([1, 1, 8, 8], np.float32)
    for _ in range(2):
        weights = opset.constant(np.ones((1, 1, 1, 1), np.float32))
        found = opset.relu(opset.convolution(found, weights, [1, 1], [0, 0], [0, 0], [1, 1]))
    openvino.save_model(openvino.Model([found], [batch]), tmp_path / "model.xml", compress_to_fp16=False)
    conversion.keep_precise(tmp_path / "model.xml")
    layers = core().read_model(tmp_path / "model.xml").get_ordered_ops()
    marked = [
        (layer.get_type_name(), any("Precision" in key for key in layer.get_rt_info()))
        for layer in layers
        if layer.get_type_name() in ("Convolution", "Relu")
    ]
    assert marked == [("Convolution", True), ("Relu", True), ("Convolution", False), ("Relu", True)]


@pytest.mark.parametrize("megabytes, kept", ((1, 24), (32, 16), (128, 8)))
def test_compiled_networks_are_kept_by_their_weight(megabytes, kept):
    openvino = pytest.importorskip("openvino")
    from kits_tf.inference import openvino_engine

    opset = openvino.opset13
    batch = opset.parameter([1, 2**18], np.float32)
    weights = opset.constant(np.zeros((megabytes, 2**18), np.float32))
    model = openvino.Model([opset.multiply(batch, weights)], [batch])
    assert openvino_engine.constant_bytes(model) == megabytes * 2**20
    assert openvino_engine.most_compiled([model]) == kept
