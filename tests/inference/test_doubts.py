"""A CT is taken without a word; labels, shifted values and air alone are not."""

import numpy as np
import pytest

from kits_tf.inference.doubts import doubts

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
