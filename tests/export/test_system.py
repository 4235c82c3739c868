"""Proves that the system in a graph labels as prediction does, bit for bit, whatever the options and sizes."""

import dataclasses
import functools
import io
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kits_tf.evaluation.lesions import measure
from kits_tf.export.system import System
from kits_tf.inference.engines.tensorflow import load, load_network
from kits_tf.inference.segmenter import Segmenter
from tests.export.decisive import decisive_checkpoint
from tests.tiny import small_ct, tiny_configs

SPACING_MM = (4.0, 3.0, 3.0)
NATIVE = {"inplane_mm": 0.0, "slice_mm": 0.0}


OPTIONS = {
    "small": ({"fusion": "majority"}, {"grid": 17}),
    "native": (
        {**NATIVE, "fusion": "mean", "min_agreement": 0.0, "mirror": True, "overlap": 3, "search_step": 3},
        {"min_agreement": 0.0, "grid": 0, "blocks": "overlap"},
    ),
    "whole": (
        {"slice_mm": 0.0, "body_box": False, "search_step": 1},
        {"blocks": "polyphase"},
    ),  # sides by the body all the same
    "mixed": ({"fusion": "mean"}, {}),  # planes on different grids
}


@pytest.fixture(scope="module", params=OPTIONS, ids=str)
def both(request, tmp_path_factory):
    """The Segmenter of one random checkpoint, and a function that returns a signature of its System by name."""
    kidney, tumor = OPTIONS[request.param]
    # As plain as networks can be: what is tested lies around them.
    kidney = {"depth": 1, "attention": False, "reconstruction": "none"} | kidney
    configs = {
        name: dataclasses.replace(config, **({"attention": "none"} | tumor if name == "tumor" else kidney))
        for name, config in tiny_configs().items()
    }
    if request.param == "mixed":
        configs["kidney_coronal"] = dataclasses.replace(configs["kidney_coronal"], slice_mm=5.0)
    folder = decisive_checkpoint(tmp_path_factory.mktemp("checkpoint"), configs)
    segmenter = Segmenter(load(folder, configs, "auto"), configs)
    system = System({name: load_network(folder / name, config) for name, config in configs.items()}, configs)
    return segmenter, functools.cache(system.signature)


def serve(signature, hu, spacing_mm=SPACING_MM):
    """The outputs of a signature as arrays."""
    found = signature(volume=tf.constant(hu, tf.float32), spacing_mm=tf.constant(spacing_mm, tf.float32))
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize("shape", [(12, 60, 80), (1, 40, 33), (37, 31, 50), (5, 20, 1)], ids=str)
def test_labels_are_those_of_prediction(both, shape):
    segmenter, signature = both
    hu = small_ct(shape)
    expected = segmenter.segment(hu, SPACING_MM)
    assert shape != (12, 60, 80) or set(np.unique(expected)) == {0, 1, 2}, "else the comparison would prove little"
    labels = serve(signature("serving_default"), hu)["labels"]
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("both", ["small"], indirect=True)
def test_compressed_and_measured_labels_are_those_of_prediction(both):
    segmenter, signature = both
    hu = small_ct()
    result = segmenter.run(hu, SPACING_MM)
    compact = signature("compact")(
        volume_bytes=tf.constant(zlib.compress(hu.astype("<i2").tobytes())),
        shape=tf.constant(hu.shape),
        spacing_mm=tf.constant(SPACING_MM, tf.float32),
    )
    assert tuple(compact["shape"].numpy()) == hu.shape
    slices = [np.asarray(Image.open(io.BytesIO(png))) for png in compact["labels_bytes"].numpy()]
    np.testing.assert_array_equal(slices, result.labels)
    sides = [np.asarray(Image.open(io.BytesIO(png))) for png in compact["sides_bytes"].numpy()]
    np.testing.assert_array_equal(sides, result.sides)
    measured = serve(signature("measurements"), hu)
    both_at_once = serve(signature("serving_default"), hu)
    np.testing.assert_array_equal(both_at_once.pop("labels"), result.labels)
    assert measured == both_at_once == {name: compact[name].numpy() for name in measured}
    expected = measure(result.labels, SPACING_MM, result.sides)
    assert measured["kidney_ml"] == pytest.approx(expected["kidney_ml"], abs=1e-3)
    assert measured["tumor_ml"] == pytest.approx(expected["tumor_ml"], abs=1e-3)
    for kidney in expected["kidneys"]:
        assert measured[f"{kidney['side']}_kidney_ml"] == pytest.approx(kidney["volume_ml"], abs=1e-3)


@pytest.mark.parametrize("both", ["whole"], indirect=True)
def test_sides_of_a_body_beside_the_images_middle_are_those_of_prediction(both):
    segmenter, signature = both
    hu = np.pad(small_ct(), ((0, 0), (0, 0), (80, 0)), constant_values=-1000)
    result = segmenter.run(hu, SPACING_MM)
    assert set(np.unique(result.sides[:, :, 80:])) == {0, 1, 2}
    measured = serve(signature("measurements"), hu)
    for side, name in ((1, "right"), (2, "left")):
        expected_ml = np.count_nonzero(result.sides == side) * np.prod(SPACING_MM) / 1000
        assert measured[f"{name}_kidney_ml"] == pytest.approx(expected_ml, rel=1e-6)


@pytest.mark.parametrize("both", ["small"], indirect=True)
def test_probabilities_above_one_half_are_the_labels(both):
    segmenter, signature = both
    hu = small_ct()
    result = segmenter.run(hu, SPACING_MM)
    found = serve(signature("probabilities"), hu)
    np.testing.assert_array_equal(found["tumor_probability"] > 0.5, result.labels == 2)
    assert ((found["kidney_probability"] > 0.5) | (result.labels != 1)).all()  # tumor may lie outside


@pytest.mark.parametrize("both", ["small"], indirect=True)
def test_what_no_ct_can_be_is_refused(both):
    default, compact = (both[1](name) for name in ("serving_default", "compact"))
    hu = small_ct()
    with pytest.raises(tf.errors.InvalidArgumentError, match="spacing_mm must be three positive"):
        serve(default, hu, (4.0, 0.0, 3.0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be finite"):
        serve(default, np.where(hu > 0, np.nan, hu))
    with pytest.raises(tf.errors.InvalidArgumentError, match="must not be empty"):
        serve(default, hu[:0])
    stream = zlib.compress(hu.tobytes())
    for volume_bytes, shape in [
        (stream, (1, 2, 3)),
        (stream, (-12, -60, 80)),
        (stream[:-20], hu.shape),
        (zlib.compress(b"odd"), (1, 1, 1)),
    ]:
        with pytest.raises(tf.errors.OpError):
            compact(
                volume_bytes=tf.constant(volume_bytes),
                shape=tf.constant(shape),
                spacing_mm=tf.constant(SPACING_MM, tf.float32),
            )
