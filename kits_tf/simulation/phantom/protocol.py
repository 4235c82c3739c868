"""What is scanned: spacing, slices and field of view, drawn as KiTS19's are.

Of 168 KiTS19 volumes, measured: slice spacing 5 mm in 43 %, 3 mm in 18 %, 0.5 mm in 14 %, 2.5 mm in 11 %, 1 mm in 7 %;
pixel spacing 0.45 to 0.98 mm, median 0.78; scanned length 145 to 755 mm, median 415, in two humps (abdomen alone,
abdomen and pelvis) with a tail of whole trunks.
"""

import dataclasses

import numpy as np

SLICE_SPACINGS_MM = (0.5, 1.0, 1.25, 2.0, 2.5, 3.0, 4.0, 5.0)
SLICE_SPACING_SHARES = (0.14, 0.07, 0.02, 0.04, 0.115, 0.185, 0.02, 0.41)
PIXEL_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
PIXEL_SPACINGS_MM = (0.438, 0.66, 0.72, 0.782, 0.87, 0.98, 1.041)
MIN_SLICES, MAX_SLICES = 29, 1059


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The volume to take.

    Attributes:
        shape: (slices, rows, columns).
        spacing_mm: (slice, row, column).
        above_share: share of the scanned length that lies above the middle of the kidneys.
        whole_kidneys: whether the kidneys must lie between the first and the last slice, where there is room.
    """

    shape: tuple
    spacing_mm: tuple
    above_share: float
    whole_kidneys: bool

    @classmethod
    def draw(cls, rng, size=512, slices=None, pixel_spacing_mm=None, slice_spacing_mm=None):
        """A random protocol; arguments that are None are drawn as in KiTS19.

        Args:
            rng: a NumPy generator.
            size: rows and columns. Below 512 the field of view stays, so pixels grow.
            slices: number of slices.
            pixel_spacing_mm, slice_spacing_mm: (low, high) to draw from evenly.
        """
        pixel_draw, slice_draw = rng.uniform(size=2)
        above, below, whole_kidneys = length(rng)
        if pixel_spacing_mm is None:
            pixel = float(np.interp(pixel_draw, PIXEL_QUANTILES, PIXEL_SPACINGS_MM)) * 512 / size
        else:
            pixel = pixel_spacing_mm[0] + (pixel_spacing_mm[1] - pixel_spacing_mm[0]) * pixel_draw
        if slice_spacing_mm is not None:
            spacing = slice_spacing_mm[0] + (slice_spacing_mm[1] - slice_spacing_mm[0]) * slice_draw
        elif slices is None:
            index = np.searchsorted(np.cumsum(SLICE_SPACING_SHARES), slice_draw * sum(SLICE_SPACING_SHARES))
            spacing = SLICE_SPACINGS_MM[min(index, len(SLICE_SPACINGS_MM) - 1)]
        else:
            # A given number of slices has to cover the kidneys where the spacings of KiTS19 allow it.
            spacing = float(np.clip((above + below) / slices, 0.5, 5.0))
        spacing = round(float(spacing), 4)
        if slices is None:
            slices = int(np.clip(round((above + below) / spacing), MIN_SLICES, MAX_SLICES))
        pixel = round(float(pixel), 6)
        return cls((slices, size, size), (spacing, pixel, pixel), above / (above + below), whole_kidneys)


def length(rng):
    """Millimetres scanned above and below the middle of the kidneys, and whether these must be whole."""
    kind = rng.choice(["abdomen", "pelvis", "trunk", "short"], p=[0.42, 0.46, 0.09, 0.03])
    if kind == "abdomen":
        return rng.uniform(95, 175), rng.uniform(85, 160), True
    if kind == "pelvis":
        return rng.uniform(110, 180), rng.uniform(230, 320), True
    if kind == "trunk":
        return rng.uniform(280, 400), rng.uniform(240, 330), True
    return rng.uniform(70, 90), rng.uniform(68, 85), False
