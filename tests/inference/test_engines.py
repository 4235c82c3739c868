"""Proves that every engine gives what the Keras model gives."""

import numpy as np
import pytest

from kits_tf import checkpoint, models
from kits_tf.inference import engines
from tests.tiny import tiny_configs, write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.mark.parametrize("engine", ("tensorflow", "openvino"))
@pytest.mark.parametrize("network, shape", [("kidney_axial", (3, 16, 24, 3)), ("tumor", (2, 8, 4, 6, 1))])
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
