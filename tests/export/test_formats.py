"""Proves what `export` writes: layout, signatures, sizes, cards, all of it or nothing."""

import resource
from collections import defaultdict

import numpy as np
import pytest
import tensorflow as tf

from kits_tf import checkpoint, models
from kits_tf.errors import UsageError
from kits_tf.export import formats
from tests.tiny import tiny_configs

NAMES = sorted(tiny_configs())
ANY, CT = (None, None, None), {"volume": ("float32", (None, None, None)), "spacing_mm": ("float32", (3,))}


def ports(specs):
    """The dtype and shape of each named input or output."""
    return {name: (spec.dtype.name, tuple(spec.shape)) for name, spec in specs.items()}


def test_layout_and_signatures_are_the_promised_ones(exported_models):
    assert sorted(path.name for path in exported_models.iterdir()) == sorted([*NAMES, "system"])
    for model in exported_models.iterdir():
        assert [path.name for path in model.iterdir()] == ["1"]
        assert {"saved_model.pb", "variables", "MODEL_CARD.md"} <= {path.name for path in (model / "1").iterdir()}
    signatures = tf.saved_model.load(str(exported_models / "system" / "1")).signatures
    inputs = {name: ports(function.structured_input_signature[1]) for name, function in signatures.items()}
    outputs = {name: ports(function.structured_outputs) for name, function in signatures.items()}
    shape, string = ("int32", (3,)), ("string", ())
    compact = {"volume_bytes": string, "shape": shape, "spacing_mm": ("float32", (3,))}
    cts = dict.fromkeys(("serving_default", "probabilities", "measurements"), CT)
    assert inputs == {**cts, "compact": compact, "about": {"client": string}}
    measured = {
        f"{side}{organ}_ml": ("float32", ()) for side in ("", "right_", "left_") for organ in ("kidney", "tumor")
    }
    slices = ("string", (None,))
    assert outputs == {
        "serving_default": {"labels": ("uint8", ANY), **measured},
        "compact": {"labels_bytes": slices, "sides_bytes": slices, "shape": shape, **measured},
        "probabilities": dict.fromkeys(("kidney_probability", "tumor_probability"), ("float32", ANY)),
        "measurements": measured,
        "about": {"about": string},
    }


def test_weights_are_stored_once_and_nothing_of_training(exported_models):
    sizes = {name: 4 * models.build(config).count_params() for name, config in tiny_configs().items()}
    for name, size in {**sizes, "system": sum(sizes.values())}.items():
        assert stored_bytes(exported_models / name / "1") == size


def stored_bytes(folder):
    """Bytes of all float32 variables in a SavedModel; there must be no other but TensorFlow's own table."""
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    assert {name for name in shapes if types[name] != tf.float32} <= {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    return sum(4 * int(np.prod(shapes[name])) for name in shapes if types[name] == tf.float32)


def test_an_existing_version_is_kept(exported_models, decisive_weights):
    with pytest.raises(UsageError, match="--model_version: .*already exists"):
        formats.export(decisive_weights, exported_models)


@pytest.mark.parametrize("kind", ["saved_model", "openvino"])
def test_a_full_disk_is_one_error_and_leaves_nothing(decisive_weights, tmp_path, kind):
    """A limit on the size of files fails in the same calls as a full disk."""
    pytest.importorskip(kind if kind == "openvino" else "tensorflow")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(UsageError, match=f"--output_dir: {tmp_path}: cannot be written"):
            formats.export(decisive_weights, tmp_path, kind=kind, report=lambda line: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_differs_is_not_exported(decisive_weights, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "save_network", lambda folder, network: lambda batch: defaultdict(lambda: np.nan))
    with pytest.raises(UsageError, match="differs from the Keras model by nan"):
        formats.export(decisive_weights, tmp_path, report=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_a_card_states_inputs_preprocessing_and_its_options(tmp_path):
    """tests/export/test_card.py follows it."""
    configs = tiny_configs()
    text = formats.card("tumor", tmp_path, configs, "onnx")
    assert text.startswith("# tumor") and "as ONNX" in text and "The weights" not in text
    assert "[-1024, 2125] HU" in text and "above -300 HU" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["option", *configs] in rows
    options = {row[0]: row[1:] for row in rows if len(row) == 5}
    assert options["`clip_low_hu`"] == ["-200.0"] * 4 and options["`mirror`"] == ["True"] * 3 + [""]
    assert options["`grid`"] == ["", "", "", "16"]
    shared = (
        "body_box slice_mm inplane_mm overlap fusion min_component_ml min_agreement context_mm margin_mm blocks depth"
    )
    assert {f"`{name}`" for name in shared.split()} <= set(options)


def test_a_card_keeps_that_of_the_weights_and_their_notice_comes_first(tmp_path):
    (tmp_path / checkpoint.NOTICE_NAME).write_text("Trained on\nsimulations alone.\n")
    (tmp_path / checkpoint.CARD_NAME).write_text("---\nlicense: apache-2.0\n---\n\n# Weights\n\nHow.\n")
    text = formats.card("system", tmp_path, tiny_configs(), "saved_model")
    assert text.startswith("Trained on simulations alone.\n\n# system") and "apache-2.0" not in text
    assert "### Weights" in text and text.rstrip().endswith("How.")
    for signature in ("serving_default", "compact", "probabilities", "measurements", "about"):
        assert f"`{signature}`" in text
