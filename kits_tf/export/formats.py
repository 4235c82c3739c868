"""Export the networks of a checkpoint as SavedModel, OpenVINO or ONNX: all of them or none."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

import kits_tf
from kits_tf import checkpoint, geometry, kidney_crops, laterality
from kits_tf.config import PLANES, KidneyConfig, TumorConfig
from kits_tf.errors import UsageError
from kits_tf.export.networks import ExportedNetwork, exported, largest_difference
from kits_tf.export.system import SIGNATURES, System
from kits_tf.inference import outputs

NETWORKS = checkpoint.network_names()
SYSTEM = "system"
FORMATS = {"saved_model": "SavedModel", "openvino": "OpenVINO IR", "onnx": "ONNX"}
TOLERANCES = {"saved_model": 1e-5, "openvino": 1e-4, "onnx": 1e-4}
ONNX_OPSET = 17
CARD_NAME = "MODEL_CARD.md"
CARD_TEMPLATE = pathlib.Path(__file__).with_name("model_card.md")
_RELATIVE_LINK = re.compile(r"!?\[([^\]]*)\]\((?!\w+://)[^)]*\)")

Configs: TypeAlias = Mapping[str, KidneyConfig | TumorConfig]
Reader: TypeAlias = Callable[[np.ndarray], Mapping[str, Any]]
"""Runs a written network on a batch."""


def export(
    checkpoint_dir: str | pathlib.Path,
    output_dir: str | pathlib.Path,
    version: int = 1,
    kind: str = "saved_model",
    report: Callable[[str], object] = print,
) -> None:
    """Write `NAME/VERSION/` for each of the four networks and, as SavedModel, for the whole system.

    Each network is read back and compared with the Keras model.

    Args:
        checkpoint_dir: A checkpoint folder, or the name of released weights.
        output_dir: Folder to write to.
        version: Name of the folder, a positive integer.
        kind: A key of `FORMATS`.
        report: Called with a line about each model.

    Raises:
        InputError: The checkpoint is missing or unreadable, or its networks do not go together.
        UsageError: The version already exists, a library is not installed, the files cannot be written, or a written
            network differs. Nothing is left behind.
    """
    source, output_dir = checkpoint.find(checkpoint_dir), pathlib.Path(output_dir)
    configs = checkpoint.load_configs(source, NETWORKS)
    names = [*NETWORKS, SYSTEM] if kind == "saved_model" else NETWORKS
    for name in names:
        target = output_dir / name / str(version)
        if target.exists():  # a server may be reading it
            raise UsageError("model_version", f"{target} already exists; choose another number")
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=output_dir) as temporary:
            folder = pathlib.Path(temporary)
            _write(source, configs, folder, kind, report)
            for name in names:
                (folder / name / CARD_NAME).write_text(card(name, source, configs, kind), encoding="utf-8")
            for name in names:
                (output_dir / name).mkdir(exist_ok=True)
                (folder / name).rename(output_dir / name / str(version))
    except (OSError, RuntimeError, tf.errors.OpError) as error:
        raise UsageError("output_dir", f"{output_dir}: cannot be written ({error}); is the disk full?") from None


def _write(
    source: pathlib.Path, configs: Configs, folder: pathlib.Path, kind: str, report: Callable[[str], object]
) -> None:
    """Write all models to `folder/NAME/`."""
    save = {"saved_model": save_network, "openvino": save_openvino, "onnx": save_onnx}[kind]
    modules = {}
    for name in NETWORKS:
        network = exported(source / name, configs[name])
        (folder / name).mkdir()
        batch, read_back = network.sample(), save(folder / name, network)
        difference = largest_difference(read_back(batch), network.function(batch))
        if not difference <= TOLERANCES[kind]:
            what = f"{name} as {kind} differs from the Keras model by {difference:.2g}"
            raise UsageError("format", f"{what}; must be at most {TOLERANCES[kind]:g}")
        report(f"{name}: differs from the Keras model by {difference:.1e} at most")
        modules[name] = network.module
    if kind == "saved_model":
        variables = [variable for module in modules.values() for variable in module.model.variables]
        system = System(modules, configs, json.dumps(about(source)))
        _save_model(folder / SYSTEM, {signature: system.signature(signature) for signature in SIGNATURES}, variables)
        report(f"{SYSTEM}: written")


def _save_model(folder: pathlib.Path, signatures: Mapping[str, Any], variables: Iterable[Any]) -> None:
    """Write a SavedModel of concrete functions and the Keras variables that they share."""
    root = tf.Module()
    root.weights = [variable.value for variable in variables]
    tf.saved_model.save(root, str(folder), signatures=signatures)


def save_network(folder: pathlib.Path, network: ExportedNetwork) -> Reader:
    """Write a network as a SavedModel."""
    _save_model(folder, {"serving_default": network.function.get_concrete_function()}, network.module.model.variables)
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return lambda batch: serve(**{network.input_name: tf.constant(batch)})


def save_openvino(folder: pathlib.Path, network: ExportedNetwork) -> Reader:
    """Write a network as `model.xml` and `model.bin`."""
    _require("openvino", "openvino")
    from kits_tf.inference.engines.openvino import core, load_openvino

    openvino = load_openvino()
    model = openvino.convert_model(network.function.get_concrete_function())
    for port in (*model.inputs, *model.outputs):
        layout = openvino.Layout(f"[{','.join(network.axes(len(port.partial_shape)))}]")
        openvino.layout_helpers.set_layout(port, layout)
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    compiled = core().compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda batch: compiled({network.input_name: batch})


def save_onnx(folder: pathlib.Path, network: ExportedNetwork) -> Reader:
    """Write a network as `model.onnx`."""
    _require("onnx", "onnx", "tf2onnx", "onnxruntime")
    import onnx
    import onnxruntime
    import tf2onnx

    function = network.function
    model, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=ONNX_OPSET)
    for value in (*model.graph.input, *model.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, axis in zip(dimensions, network.axes(len(dimensions)), strict=True):
            if dimension.HasField("dim_param"):
                dimension.dim_param = axis
    onnx.save(model, folder / "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda batch: dict(zip(names, session.run(names, {network.input_name: batch}), strict=True))


def _require(extra: str, *modules: str) -> None:
    """Raise a UsageError unless the modules of an optional extra are installed."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise UsageError("format", f"{name} is not installed; install this package's extra `{extra}`")


def about(source: pathlib.Path) -> dict[str, Any]:
    """Return the content of the system's signature `about`: "checkpoint", "notice", "version" and "settings".

    The settings are those that `kits-predict` writes into sidecars for this checkpoint.
    """
    settings = outputs.network_settings([source], "both", PLANES, None, "none")
    return {
        "checkpoint": source.name,
        "notice": checkpoint.load_notice(source),
        "version": kits_tf.__version__,
        "settings": {**settings, "kidney_mask": None},
    }


def card(name: str, source: pathlib.Path, configs: Configs, kind: str) -> str:
    """Return the model card of a network or the system: inputs and outputs, preprocessing, the weights' own card."""
    path = source / checkpoint.CARD_NAME
    weights = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.S) if path.is_file() else ""
    template = CARD_TEMPLATE.read_text(encoding="utf-8")
    text = template.format(
        name=name,
        notice=checkpoint.load_notice(source),
        version=kits_tf.__version__,
        checkpoint=source.name,
        format=FORMATS[kind],
        geometry=geometry,
        kidney_crops=kidney_crops,
        laterality=laterality,
        options=option_table(template, configs),
    )
    weights = _RELATIVE_LINK.sub(r"\1", weights)  # their targets are not part of the export
    below = "\n".join(f"##{line}" if line.startswith("#") else line for line in weights.strip().splitlines())
    return text.lstrip() + (f"\n## The weights\n\n{below}\n" if weights else "")


def option_table(template: str, configs: Configs) -> str:
    """Return the values of all options that a template names `like_this`, a column for each network."""
    values = {name: dataclasses.asdict(config) for name, config in configs.items()}
    named = dict.fromkeys(re.findall(r"`(\w+)`", template))
    rows = [[f"`{name}`", *(own.get(name, "") for own in values.values())] for name in named]
    rows = [["option", *values], ["---"] * (len(values) + 1), *(row for row in rows if any(v != "" for v in row[1:]))]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
