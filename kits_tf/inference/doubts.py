"""What speaks against an array being a CT in HU: it is segmented all the same, with a word of warning."""

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
