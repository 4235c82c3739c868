"""The interior of a map's structures: pyramids and calyces, the sinus, the bowel's contents, cortical bone."""

from __future__ import annotations

import numpy as np

from kits_tf.laterality import bounding_box
from kits_tf.simulation.appearance import Appearance
from kits_tf.simulation.canvas import Canvas
from kits_tf.simulation.fields import Bounds, Field, Grid
from kits_tf.simulation.refinement import DEPTH_STEP_MM
from kits_tf.simulation.structures import BOWEL, INDEX, KIDNEYS, indices

SKIN_MM = 2.0
NOTHING = (slice(0, 0),) * 3
BOWEL_MM = -60.0  # y of the bowel's middle
RISE_MM = 60.0  # distance in front of it over which gas gains one standard deviation


class Interior:
    """A random inner structure of a patient within `bounds`."""

    def __init__(self, rng: np.random.Generator, bounds: Bounds) -> None:
        # The depth in the map at which the skin begins, negative for a patient fatter than the map's.
        self.surface_mm = rng.uniform(-28, 0) if rng.uniform() < 0.4 else rng.uniform(-6, 14)
        self.missing = str(rng.choice(KIDNEYS)) if rng.uniform() < 0.03 else None
        self.cortex_mm = rng.uniform(3.5, 8.0)
        # Thresholds of the fields below, which have unit variance.
        self.pyramids_above, self.calyces_above = rng.uniform(-0.7, 0.4), rng.uniform(0.9, 2.6)
        self.pelvis_above, self.vessels_below = rng.uniform(-0.4, 1.4), rng.uniform(-1.6, -0.5)
        self.shell_mm = rng.uniform(1.0, 3.5)  # of cortical bone
        self.lobes = Field.noise(rng, bounds, rng.uniform(8, 13))
        self.pelvis = Field.noise(rng, bounds, rng.uniform(7, 12))
        self.filling = Field.noise(rng, bounds, rng.uniform(18, 40))

    def apply(self, structures: np.ndarray, depths: np.ndarray) -> np.ndarray:
        """Remove the missing kidney and move the skin, in place; return the mask of the skin, bool [z, y, x]."""
        if self.missing:
            structures[structures == INDEX[self.missing]] = INDEX["fat"]
        surface = self.surface_mm / DEPTH_STEP_MM
        coat = np.isin(structures, indices(("air", "fat", "soft")))
        structures[coat & (depths < surface)] = INDEX["air"]
        structures[(structures == INDEX["air"]) & (depths >= surface)] = INDEX["fat"]
        return coat & (depths >= surface) & (depths < surface + SKIN_MM / DEPTH_STEP_MM)

    def paint(
        self, hu: np.ndarray, structures: np.ndarray, depths: np.ndarray, canvas: Canvas, look: Appearance
    ) -> None:
        """Paint the interior over the structures' mean HU, in place; structures and depths as `apply` left them."""
        self._paint_kidneys(hu, structures, depths, canvas.grid, look)
        self._paint_sinus(hu, structures, canvas.grid, look)
        self._paint_bowel(hu, structures, depths, canvas, look)
        shell = (structures == INDEX["bone"]) & (depths < self.shell_mm / DEPTH_STEP_MM)
        hu[shell] += np.float32(look.shell - look.mean("bone"))

    def _paint_kidneys(
        self, hu: np.ndarray, structures: np.ndarray, depths: np.ndarray, grid: Grid, look: Appearance
    ) -> None:
        """Paint pyramids and calyces."""
        kidneys = np.isin(structures, indices(KIDNEYS))
        box = bounding_box(kidneys) or NOTHING
        deep = kidneys[box] & (depths[box] > self.cortex_mm / DEPTH_STEP_MM)
        lobes = self.lobes.sample(grid.crop(box))
        hu[box][deep & (lobes > self.pyramids_above)] += np.float32(look.medulla - look.cortex)
        innermost = deep & (depths[box] > (self.cortex_mm + 3) / DEPTH_STEP_MM)
        hu[box][innermost & (lobes > self.calyces_above)] = look.urine

    def _paint_sinus(self, hu: np.ndarray, structures: np.ndarray, grid: Grid, look: Appearance) -> None:
        """Paint the renal pelvis and vessels amid the sinus fat."""
        sinus = structures == INDEX["sinus"]
        box = bounding_box(sinus) or NOTHING
        field = self.pelvis.sample(grid.crop(box))
        hu[box][sinus[box] & (field > self.pelvis_above)] = look.urine
        hu[box][sinus[box] & (field < self.vessels_below)] = look.mean("cava")

    def _paint_bowel(
        self, hu: np.ndarray, structures: np.ndarray, depths: np.ndarray, canvas: Canvas, look: Appearance
    ) -> None:
        """Paint contents within the wall, with gas in front."""
        box = bounding_box(np.isin(structures, indices(BOWEL))) or NOTHING
        crop, fine = canvas.grid.crop(box), canvas.fine[box]
        filling = self.filling.sample(crop) - ((crop.axes[1] - BOWEL_MM) / RISE_MM)[None, :, None]
        for name, content in look.contents.items():
            inside = (structures[box] == INDEX[name]) & (depths[box] > content.wall_mm / DEPTH_STEP_MM)
            at = np.nonzero(inside)
            values = content.hu + content.grain_hu * fine[at]
            gas = (filling[at] > content.gas_above) | (fine[at] > content.bubbles_above)
            values[gas] = look.mean("gas")
            hu[box][at] = values
