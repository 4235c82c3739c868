"""Proves that a network gives the same from its SavedModel, in TensorFlow and in OpenVINO, as in Keras."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kits_tf import checkpoint
from kits_tf.errors import InputError
from kits_tf.export import networks
from tests.tiny import tiny_configs, write_checkpoint

NAMES = sorted(tiny_configs())


def network(weights, name):
    """The ExportedNetwork of a checkpoint's network."""
    return networks.exported(weights / name, checkpoint.load_configs(weights, [name])[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_network_gives_what_keras_gives(exported_models, decisive_weights, name):
    exported = network(decisive_weights, name)
    batch = exported.sample(seed=3)
    expected = exported.expected(batch)
    serve = tf.saved_model.load(str(exported_models / name / "1")).signatures["serving_default"]
    found = {key: value.numpy() for key, value in serve(**{exported.input_name: tf.constant(batch)}).items()}
    assert set(found) == set(expected)
    assert networks.largest_difference(found, expected) < 1e-5


@pytest.mark.parametrize("name", ["kidney_axial", "tumor"])  # the others have no op of their own
def test_openvino_reads_the_saved_model_directly(exported_models, decisive_weights, name):
    openvino = pytest.importorskip("openvino")
    from kits_tf.inference.engines.openvino import core

    exported = network(decisive_weights, name)
    batch = exported.sample()
    expected = exported.expected(batch)
    model = openvino.convert_model(exported_models / name / "1")
    result = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([batch])
    assert networks.largest_difference({key: result[key] for key in expected}, expected) < 1e-4


def test_a_difference_is_a_share_of_large_outputs_and_absolute_for_small_ones():
    zero, large = np.zeros(3), np.array([0.0, 50.0, -200.0])
    assert networks.largest_difference({"a": zero + 0.5}, {"a": zero}) == 0.5
    assert networks.largest_difference({"a": large + 1, "b": zero}, {"a": large, "b": zero}) == 1 / 200
    assert np.isnan(networks.largest_difference({"a": zero * np.nan}, {"a": zero}))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    config = dataclasses.replace(tiny_configs()["tumor"], attention="none")
    write_checkpoint(tmp_path, {"tumor": config})
    model = networks.load_network(tmp_path / "tumor", config).model
    model.get_layer("logits").bias.assign([np.nan])
    model.save_weights(tmp_path / "tumor" / checkpoint.WEIGHTS_NAME)
    with pytest.raises(InputError, match="weights that are not finite"):
        networks.exported(tmp_path / "tumor", config)
