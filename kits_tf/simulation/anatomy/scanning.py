"""How a patient made from a map is scanned: noise, sharpness and streaks in wider ranges than the phantoms'."""

import dataclasses

import numpy as np

from kits_tf.simulation.phantom.imaging import Scanner
from kits_tf.simulation.phantom.protocol import MIN_SLICES

NOISE_HU = (3.0, 34.0)
GRAIN_PER_MM = (0.12, 0.55)
BLUR_PIXELS = (0.25, 0.75)
STREAKS_HU = 10.0


def random_scanner(rng, spacing_mm, key):
    """A `Scanner` for voxels of `spacing_mm` (slice, row, column), whose noise `key` seeds."""
    drawn = Scanner.draw(rng, spacing_mm, key)
    noise, grain = (float(np.exp(rng.uniform(*np.log(limits)))) for limits in (NOISE_HU, GRAIN_PER_MM))
    return dataclasses.replace(
        drawn,
        thickness_mm=spacing_mm[0] * float(rng.uniform(0.6, 1.6)),
        noise_hu=noise,
        grain_per_mm=grain,
        blur_mm=max(drawn.blur_mm, spacing_mm[2] * float(rng.uniform(*BLUR_PIXELS))),
        streaks_hu=float(rng.uniform(0, STREAKS_HU)) if rng.uniform() < 0.5 else 0.0,
    )


def fitted(protocol, length_mm, slices_are_free, spacing_is_free):
    """The protocol, cut to what a map of `length_mm` shows where its slices or their spacing were not asked for."""
    slices, rows, columns = protocol.shape
    spacing_mm = protocol.spacing_mm
    if slices_are_free:
        slices = min(slices, max(int(length_mm / spacing_mm[0]), MIN_SLICES))
    elif spacing_is_free:
        spacing_mm = (round(float(np.clip(length_mm / slices, 0.5, spacing_mm[0])), 4), *spacing_mm[1:])
    return dataclasses.replace(protocol, shape=(slices, rows, columns), spacing_mm=spacing_mm)
