"""The colours that stand for different things are told apart by readers with each kind of colour blindness."""

import itertools

import numpy as np
import pytest
from skimage import color

from kits_tf import palette

TOLD_APART = 20
"""CIEDE2000 difference; about 2 is just noticeable side by side."""

OUTLINES = (palette.KIDNEY, palette.TUMOR, palette.REFERENCE)
ERRORS = (palette.MISSED, palette.EXTRA, palette.REFERENCE, "#808080")  # on a grey CT

# Machado, Oliveira and Fernandes 2009, severity 1.0; applied to linear RGB
SIGHT = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(name, sight):
    """CIELAB of a colour "#RRGGBB" as it is seen."""
    rgb = np.array([int(name[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = (np.asarray(SIGHT[sight]) @ linear).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return color.rgb2lab(encoded)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("together", [OUTLINES, ERRORS], ids=["outlines", "errors"])
def test_colors_drawn_together_are_told_apart(together, sight):
    for one, other in itertools.combinations(together, 2):
        assert color.deltaE_ciede2000(seen(one, sight), seen(other, sight)) > TOLD_APART, (one, other)


def test_the_measure_knows_a_confusable_pair():
    assert color.deltaE_ciede2000(seen("#CC79A7", "deuteranopia"), seen("#009E73", "deuteranopia")) < TOLD_APART
