"""Proves that an exported network returns what the Keras model does, in every format and of any size."""

import numpy as np
import pytest
import tensorflow as tf

from kits_tf import checkpoint
from kits_tf.export import formats, networks
from tests.tiny import tiny_configs

NAMES = ["kidney_axial", "tumor"]  # the others have no op of their own


def load(weights, name):
    """(the ExportedNetwork of a checkpoint's network, a batch, the outputs of Keras, padded and cropped in NumPy)."""
    network = networks.exported(weights / name, checkpoint.load_configs(weights, [name])[name])
    batch = network.sample(seed=3)
    unit = 2**network.config.depth
    widths = [(0, 0), *((0, -size % unit) for size in batch.shape[1:-1]), (0, 0)]
    inside = (slice(None), *(slice(size) for size in batch.shape[1:-1]))
    found = network.module.model(np.pad(batch, widths), training=False)
    outputs = {name: np.asarray(value)[inside] for name, value in found.items()}
    return network, batch, {"probability": 1 / (1 + np.exp(-outputs.pop("logits")[..., 0])), **outputs}


@pytest.mark.parametrize("name", sorted(tiny_configs()))
def test_saved_model(exported_models, decisive_weights, name):
    network, batch, expected = load(decisive_weights, name)
    serve = tf.saved_model.load(str(exported_models / name / "1")).signatures["serving_default"]
    found = serve(**{network.input_name: tf.constant(batch)})
    assert set(found) == set(expected)
    assert networks.largest_difference(found, expected) < 1e-5
    axes = network.axes(len(batch.shape))
    assert serve.structured_input_signature[1][network.input_name].shape.as_list() == [
        None if axis != "channel" else batch.shape[-1] for axis in axes
    ]


def test_openvino(decisive_weights, exported_models, tmp_path, monkeypatch):
    openvino = pytest.importorskip("openvino")
    from kits_tf.inference.engines.openvino import core

    def largest_difference(model):
        compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = compiled({network.input_name: batch})
        return networks.largest_difference(found, expected)

    monkeypatch.setattr(formats, "NETWORKS", NAMES)
    lines = []
    formats.export(decisive_weights, tmp_path, 3, "openvino", lines.append)
    assert len(lines) == 2 and sorted(path.name for path in tmp_path.iterdir()) == NAMES
    for name in NAMES:
        network, batch, expected = load(decisive_weights, name)
        model = core().read_model(tmp_path / name / "3" / "model.xml")
        axes = {"kidney_axial": "[N,H,W,C]", "tumor": "[N,SLICES,ROWS,COLUMNS,C]"}[name]
        assert openvino.layout_helpers.get_layout(model.input(0)) == openvino.Layout(axes)
        assert largest_difference(model) < 1e-4
    assert largest_difference(openvino.convert_model(exported_models / "tumor" / "1")) < 1e-4


def test_onnx(decisive_weights, tmp_path, monkeypatch):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    monkeypatch.setattr(formats, "NETWORKS", NAMES)
    formats.export(decisive_weights, tmp_path, 3, "onnx", report=lambda line: None)
    for name in NAMES:
        network, batch, expected = load(decisive_weights, name)
        session = runtime.InferenceSession(tmp_path / name / "3" / "model.onnx", providers=["CPUExecutionProvider"])
        ports = {port.name: port for port in (*session.get_inputs(), *session.get_outputs())}
        assert set(ports) == {network.input_name, *expected}
        axes = network.axes(len(batch.shape))[:-1]
        assert tuple(ports[network.input_name].shape) == (*axes, batch.shape[-1])
        assert tuple(ports["probability"].shape) == axes
        found = dict(zip(expected, session.run(list(expected), {network.input_name: batch}), strict=True))
        assert networks.largest_difference(found, expected) < 1e-4


def test_a_difference_is_relative_for_large_outputs_and_absolute_for_small_ones():
    zero, large = np.zeros(3), np.array([0.0, 50.0, -200.0])
    assert networks.largest_difference({"a": zero + 0.5}, {"a": zero}) == 0.5
    assert networks.largest_difference({"a": large + 1, "b": zero}, {"a": large, "b": zero}) == 1 / 200
    assert np.isnan(networks.largest_difference({"a": zero * np.nan}, {"a": zero}))
