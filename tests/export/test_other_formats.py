"""Proves that OpenVINO and ONNX files hold what Keras says, under the promised names."""

import json
import signal

import numpy as np
import pytest

from kits_tf import checkpoint
from kits_tf.export import networks, other_formats
from kits_tf.export.folder import export
from tests.tiny import tiny_configs

NAMES = sorted(tiny_configs())


def written(weights, folder, kind):
    """Exports version 3 and checks its files; yields each network, an input and what Keras says of it."""
    lines = []
    export(weights, folder, 3, kind, lines.append)
    assert sum("differs from the Keras model by" in line for line in lines) == len(NAMES)
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    for name in NAMES:
        version = folder / name / "3"
        assert (version / "MODEL_CARD.md").is_file()
        signature = json.loads((version / "signature.json").read_text())["signatures"]["serving_default"]
        network = networks.exported(weights / name, checkpoint.load_configs(weights, [name])[name])
        batch = network.sample(seed=1)
        expected = network.expected(batch)
        assert set(signature["inputs"]) == {network.input_name} and set(signature["outputs"]) == set(expected)
        yield version, network.input_name, batch, expected


def test_openvino(decisive_weights, tmp_path):
    pytest.importorskip("openvino")
    from kits_tf.inference.engines.openvino import core

    for version, name, batch, expected in written(decisive_weights, tmp_path, "openvino"):
        compiled = core().compile_model(version / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        result = compiled({name: batch})
        assert networks.largest_difference({key: result[key] for key in expected}, expected) < 1e-4


def test_onnx(decisive_weights, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    for version, name, batch, expected in written(decisive_weights, tmp_path, "onnx"):
        session = runtime.InferenceSession(version / "model.onnx", providers=["CPUExecutionProvider"])
        assert {output.name for output in session.get_outputs()} == set(expected)
        assert all(array.type == "tensor(float)" for array in session.get_inputs())
        found = dict(zip(expected, session.run(list(expected), {name: batch}), strict=True))
        assert networks.largest_difference({k: np.asarray(v) for k, v in found.items()}, expected) < 1e-4


def test_a_sigterm_takes_effect_after_a_conversion_not_in_it():
    order = []

    def handler(number, frame):
        order.append("handled")

    previous = signal.signal(signal.SIGTERM, handler)
    try:
        with other_formats.sigterm_postponed():
            signal.raise_signal(signal.SIGTERM)
            order.append("converted")
        assert order == ["converted", "handled"] and signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, previous)
