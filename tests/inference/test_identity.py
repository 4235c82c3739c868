"""Proves that nothing on the way moves a voxel: with identity networks the output is exactly the input."""

import dataclasses

import numpy as np
import pytest

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES, preset
from kits_tf.inference.kidney import stage_one
from kits_tf.inference.segmenter import Segmenter
from tests.identity import IdentityEngine, stage_two

SHAPES = [(1, 32, 48), (29, 512, 512), (75, 511, 513), (252, 512, 796)]
SMALL_SHAPES = [(1, 32, 48), (29, 33, 17), (7, 1, 1), (40, 31, 64)]


def random_hu(shape):
    return np.random.default_rng(0).integers(-1024, 2126, size=shape, dtype=np.int16)


def kidney_config(plane, **options):
    return dataclasses.replace(preset("paper", "kidney", plane), **options)


def stage_one_probability(hu, config, engine=None):
    """What stage 1 hands to the fusion, collected into one float volume."""
    probability = np.full(hu.shape, np.nan, np.float32)

    def add(view, values):
        target = view(probability)
        assert np.isnan(target).all()
        target[...] = values

    stage_one(engine or IdentityEngine(), "kidney", config, hu, (3.0, 0.8, 0.8), add, lambda count: None)
    return probability


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_stage_one_returns_the_scaled_volume(shape, plane):
    hu = random_hu(shape)
    probability = stage_one_probability(hu, kidney_config(plane))
    for index in range(shape[0]):
        np.testing.assert_array_equal(probability[index], geometry.scale(NumPy, hu[index]))


@pytest.mark.parametrize("options", [{"mirror": True}, {"overlap": 5}, {"mirror": True, "overlap": 3}, {"depth": 2}])
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("shape", SMALL_SHAPES, ids=str)
def test_stage_one_options_move_nothing(shape, plane, options):
    hu = random_hu(shape)
    probability = stage_one_probability(hu, kidney_config(plane, **options))
    np.testing.assert_array_equal(probability, geometry.scale(NumPy, hu))


@pytest.mark.parametrize("slice_mm", [0.0, 2.0, 5.0])
@pytest.mark.parametrize("plane", PLANES)
def test_the_working_grid_returns_a_smooth_volume(plane, slice_mm):
    slices, rows, columns = np.meshgrid(*[np.arange(n) / n for n in (33, 120, 90)], indexing="ij")
    hu = (300 * slices + 1000 * rows + 500 * columns).astype(np.float32)
    probability = stage_one_probability(hu, kidney_config(plane, inplane_mm=2.0, slice_mm=slice_mm))
    inner = (slice(4, -4), slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(probability[inner], geometry.scale(NumPy, hu)[inner], atol=1e-4)


@pytest.mark.parametrize("blocks", ("split", "overlap", "polyphase"))
@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_stage_two_returns_the_masked_crop(shape, blocks):
    config = dataclasses.replace(preset("paper", "tumor"), grid=0, blocks=blocks)
    hu = random_hu(shape)
    mask = np.random.default_rng(1).random(shape) < 0.7
    probability = stage_two(IdentityEngine(), config, hu, mask, (3.0, 0.8, 0.8))
    np.testing.assert_array_equal(probability, geometry.scale(NumPy, hu) * mask)


def random_boxes(shape):
    """True in a hundred boxes anywhere, single voxels and volumes' corners among them."""
    rng = np.random.default_rng(0)
    inside = np.zeros(shape, bool)
    for _ in range(100):
        start = [rng.integers(size) for size in shape]
        inside[
            tuple(slice(s, s + rng.integers(1, 1 + size // 5 + 1)) for s, size in zip(start, shape, strict=True))
        ] = True
    inside[0, 0, 0] = inside[-1, -1, -1] = True
    return inside


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("body_box", (False, True))
def test_the_whole_system_labels_what_is_bright(shape, body_box):
    """Kidney where the scaled HU is over one half, and all of it tumor: 13 mm voxels are too large to be specks."""
    configs = {f"kidney_{plane}": kidney_config(plane, body_box=body_box) for plane in PLANES}
    configs["tumor"] = dataclasses.replace(preset("paper", "tumor"), grid=0, body_box=body_box)
    bright = random_boxes(shape)
    hu = np.where(bright, 2125, -1024).astype(np.int16)
    labels = Segmenter(IdentityEngine(), configs).segment(hu, (13.0, 13.0, 13.0))
    expected = np.zeros(shape, np.uint8)
    rows, columns = geometry.body_box(hu) if body_box else geometry.whole_box(shape)
    inside = (slice(None), slice(*rows), slice(*columns))
    expected[inside] = 2 * bright[inside]
    np.testing.assert_array_equal(labels, expected)
