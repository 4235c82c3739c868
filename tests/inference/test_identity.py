"""Proves that nothing on the way moves a voxel: with identity networks the output is exactly the input."""

import dataclasses

import numpy as np
import pytest

from kits_tf import geometry
from kits_tf.arrays import NumPy
from kits_tf.config import PLANES, preset
from kits_tf.inference.ensemble import augmented, mean_of
from kits_tf.inference.kidney import run_plane, stage_one
from tests.identity import IdentityEngine, stage_two

SHAPES = [(1, 32, 48), (29, 33, 17), (7, 1, 1), (40, 31, 64), (5, 300, 396)]


def random_hu(shape):
    return np.random.default_rng(0).integers(-1024, 2126, size=shape, dtype=np.int16)


def kidney_config(plane, **options):
    return dataclasses.replace(preset("paper", "kidney", plane), **options)


def plane_probability(hu, config, engine):
    """What a plane hands to the fusion, collected into one float volume."""
    probability = np.full(hu.shape, np.nan, np.float32)
    for index, values in run_plane(engine, "kidney", config, hu, lambda share: None):
        assert np.isnan(probability[index]).all()
        probability[index] = values
    return probability


@pytest.mark.parametrize("tta, folds", [("none", 1), ("shift", 1), ("flip", 3)])
@pytest.mark.parametrize("options", [{}, {"mirror": True}, {"overlap": 5, "depth": 2}, {"mirror": True, "overlap": 3}])
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_options_augmentation_and_ensembles_move_nothing(shape, plane, options, tta, folds):
    config, hu = kidney_config(plane, **options), random_hu(shape)
    engine = augmented(mean_of([IdentityEngine()] * folds), tta, {"kidney": config})
    np.testing.assert_array_equal(plane_probability(hu, config, engine), geometry.scale(NumPy, hu))


@pytest.mark.parametrize("slice_mm", [0.0, 2.0, 5.0])
@pytest.mark.parametrize("plane", PLANES)
def test_the_working_grid_returns_a_smooth_volume(plane, slice_mm):
    slices, rows, columns = np.meshgrid(*[np.arange(n) / n for n in (33, 120, 90)], indexing="ij")
    hu = (300 * slices + 1000 * rows + 500 * columns).astype(np.float32)
    configs = {"kidney": kidney_config(plane, inplane_mm=2.0, slice_mm=slice_mm)}
    (probability,) = stage_one(
        IdentityEngine(), configs, hu, geometry.whole_box(hu.shape), (3.0, 0.8, 0.8), {"union": np.float32},
        lambda share: None,
    )  # fmt: skip
    inner = (slice(4, -4), slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(probability[inner], geometry.scale(NumPy, hu)[inner], atol=1e-4)


@pytest.mark.parametrize("blocks", ("split", "overlap", "polyphase", "none"))
@pytest.mark.parametrize("tta", ("none", "shift", "flip"))
@pytest.mark.parametrize("shape", [(1, 32, 48), (29, 33, 17), (45, 111, 113)], ids=str)
@pytest.mark.parametrize("mirrored", (False, True))
def test_stage_two_returns_the_masked_crop(shape, tta, blocks, mirrored):
    config = dataclasses.replace(preset("paper", "tumor"), grid=0, blocks=blocks, average_mirrored=mirrored)
    hu, mask = random_hu(shape), np.random.default_rng(1).random(shape) < 0.7
    engine = augmented(IdentityEngine(), tta, {"tumor": config})
    probability = stage_two(engine, config, hu, mask, (3.0, 0.8, 0.8))
    np.testing.assert_array_equal(probability, geometry.scale(NumPy, hu) * mask)
