"""Prove that the released weights, by default, find the kidneys of the bundled real CT and no tumor there."""

import dataclasses
import pathlib

import numpy as np
import pytest

import kits_tf
from kits_tf.inference.segmenter import Segmenter

CT = pathlib.Path(kits_tf.__file__).with_name("samples") / "trunk_ct"
LEAST_DICE = 0.95
MOST_TUMOR_ML = 1.0  # nobody knows of one


@pytest.fixture(scope="module")
def volume():
    return kits_tf.read_volume(CT / "imaging.nii.gz")


def test_kidneys_of_a_real_ct_are_found_and_no_tumor(volume):
    kidneys, _ = kits_tf.read_labels(CT / "segmentation.nii.gz")
    segmenter = kits_tf.load_segmenter("default")
    assert segmenter.fusion == "majority" and "tumor" in segmenter.notice
    found = segmenter.segment(volume.hu, volume.spacing_mm)
    overlap = np.count_nonzero((found > 0) & (kidneys > 0))
    assert 2 * overlap / (np.count_nonzero(found) + np.count_nonzero(kidneys)) >= LEAST_DICE
    assert np.count_nonzero(found == 2) * np.prod(volume.spacing_mm) / 1000 <= MOST_TUMOR_ML


def test_slabs_that_the_search_skips_hold_no_kidney(volume):
    segmenter = kits_tf.load_segmenter("default", stage="kidney")
    assert all(config.search_step > 1 for config in segmenter.configs.values())
    all_slabs = {name: dataclasses.replace(config, search_step=1) for name, config in segmenter.configs.items()}
    expected = Segmenter(segmenter.engine, all_slabs).segment(volume.hu, volume.spacing_mm)
    np.testing.assert_array_equal(segmenter.segment(volume.hu, volume.spacing_mm), expected)
