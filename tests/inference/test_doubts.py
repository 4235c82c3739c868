"""A CT is taken without a word; labels, shifted values and air alone are not."""

import numpy as np
import pytest

from kits_tf.inference.doubts import doubts, left_out

CT = np.full((2, 4, 4), -1000, np.int16)
CT[:, 1:3, 1:3] = 40


def test_a_ct_is_beyond_doubt():
    assert doubts(CT) == []


@pytest.mark.parametrize(
    "hu, said",
    [
        ((CT > 0).astype(np.uint8), "below -500"),
        (CT + 1024, "below -500"),
        (np.full_like(CT, -1000), "above 0"),
        ((CT / 1000).astype(np.float32), "below -500"),
    ],
    ids=["labels", "shifted", "air", "another unit"],
)
def test_what_is_no_ct_in_hu_is_doubted(hu, said):
    (sentence,) = doubts(hu)
    assert said in sentence


def test_what_of_a_mask_is_left_out_is_told_in_ml():
    mask = np.zeros((4, 10, 10), bool)
    mask[:2] = True
    labels = mask.astype(np.uint8)
    labels[0, 0, 0] = 2
    assert left_out(mask, labels, (1.0, 1.0, 1.0)) == []
    mask[3, :5, :5] = True
    (sentence,) = left_out(mask, labels, (10.0, 2.0, 2.0))  # 25 voxels of 0.04 ml
    assert sentence.startswith("1.0 ml of the given kidney mask")
