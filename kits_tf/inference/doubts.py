"""What is odd about a CT or a mask that is taken all the same: a word of warning."""

import numpy as np

AIR_HU = -500
"""Every CT of a body holds something below: air around it, in the lungs or in the bowel."""

WATER_HU = 0


def doubts(hu):
    """Reasons to doubt that an array holds a CT in HU.

    Args:
        hu: [slices, rows, columns].

    Returns:
        A list of sentences' beginnings, such as "no value is below -500: ...", empty for a CT.
    """
    found = []
    if hu.min() >= AIR_HU:
        found.append(f"no value is below {AIR_HU}: it holds no air, or its values are not HU")
    if hu.max() <= WATER_HU:
        found.append(f"no value is above {WATER_HU}: it holds no body, or its values are not HU")
    return found


def left_out(mask, labels, spacing_mm):
    """A warning where pieces of a given kidney mask are too small to be kidney, in a list; an empty one where none is.

    Args:
        mask: bool [slices, rows, columns]: the kidneys given.
        labels: uint8 of the same shape: what came of them.
        spacing_mm: (slice, row, column).
    """
    lost = (np.count_nonzero(mask) - np.count_nonzero(labels)) * float(np.prod(spacing_mm)) / 1000
    return [f"{lost:.1f} ml of the given kidney mask lie in small pieces and are left out"] if lost > 0 else []
