"""Prove that the released weights, by default, find the kidneys of the bundled real CT and no tumor there."""

import pathlib

import numpy as np

import kits_tf

CT = pathlib.Path(kits_tf.__file__).with_name("samples") / "trunk_ct"
LEAST_DICE = 0.95
MOST_TUMOR_ML = 1.0  # nobody knows of one


def test_kidneys_of_a_real_ct_are_found_and_no_tumor():
    volume = kits_tf.read_volume(CT / "imaging.nii.gz")
    kidneys, _ = kits_tf.read_labels(CT / "segmentation.nii.gz")
    segmenter = kits_tf.load_segmenter("default")
    assert segmenter.fusion == "majority" and "tumor" in segmenter.notice
    found = segmenter.segment(volume.hu, volume.spacing_mm)
    overlap = np.count_nonzero((found > 0) & (kidneys > 0))
    assert 2 * overlap / (np.count_nonzero(found) + np.count_nonzero(kidneys)) >= LEAST_DICE
    assert np.count_nonzero(found == 2) * np.prod(volume.spacing_mm) / 1000 <= MOST_TUMOR_ML
