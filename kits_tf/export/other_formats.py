"""Networks as OpenVINO and ONNX files, each read back and compared with the Keras model."""

import contextlib
import signal
import threading

import numpy as np

from kits_tf.errors import UsageError
from kits_tf.export.networks import largest_difference
from kits_tf.export.saved_model import checked

TOLERANCE = 1e-4
ONNX_OPSET = 17


def save_openvino(folder, network):
    """Writes an ExportedNetwork as `model.xml` and `model.bin`, float32.

    Returns:
        The largest difference from the Keras model on a random input.

    Raises:
        UsageError: OpenVINO is not installed.
        RuntimeError: the difference is above 1e-4.
    """
    openvino = imported("openvino")
    from kits_tf.inference.engines.openvino import core

    with sigterm_postponed():
        model = openvino.convert_model(network.function.get_concrete_function())
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    compiled = core().compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    batch = network.sample()
    result = compiled({network.input_name: batch})
    found = {name: result[name] for name in network.expected(batch)}
    return checked(folder, largest_difference(found, network.expected(batch)), TOLERANCE)


def save_onnx(folder, network):
    """Writes an ExportedNetwork as `model.onnx`; result and errors as of `save_openvino`."""
    onnx, converter, runtime = imported("onnx"), imported("tf2onnx"), imported("onnxruntime")
    model, _ = converter.convert.from_function(
        network.function, input_signature=network.function.input_signature, opset=ONNX_OPSET
    )
    rename(model.graph, model.graph.input[0].name, network.input_name)
    # The converter loses the outputs' names, not their order, which is that of the names.
    names = sorted(network.function.get_concrete_function().structured_outputs)
    for output, name in zip(list(model.graph.output), names, strict=True):
        rename(model.graph, output.name, name)
    onnx.save(model, folder / "model.onnx")
    session = runtime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    batch = network.sample()
    expected = network.expected(batch)
    found = dict(zip(expected, session.run(list(expected), {network.input_name: batch}), strict=True))
    return checked(folder, largest_difference({n: np.asarray(v) for n, v in found.items()}, expected), TOLERANCE)


@contextlib.contextmanager
def sigterm_postponed():
    """Lets a SIGTERM that comes within the block take effect after it.

    OpenVINO calls back into Python as it converts, and turns an exception that a handler raises there into another.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        if asked:
            signal.raise_signal(signal.SIGTERM)


def rename(graph, old, new):
    """Gives a tensor of an ONNX graph another name wherever it is used."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name == old:
            value.name = new
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def imported(name):
    """A module, or a UsageError that says how to install it."""
    import importlib

    extra = "openvino" if name == "openvino" else "onnx"
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError("format", f"{name} is not installed; install this package's extra `{extra}`") from None
