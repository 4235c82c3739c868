"""The interior of a map's structures: pyramids, calyces and sinus, vessels, contents of the bowel, cortical bone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kits_tf.boxes import bounding_box
from kits_tf.simulation.appearance import Appearance
from kits_tf.simulation.canvas import Canvas
from kits_tf.simulation.fields import Bounds, Field
from kits_tf.simulation.refinement import DEPTH_STEP_MM
from kits_tf.simulation.structures import BOWEL, INDEX, KIDNEYS, are

SKIN_MM = 2.0
NOTHING = (slice(0, 0),) * 3
BOWEL_MM = -60.0  # y of the bowel's middle
RISE_MM = 60.0  # distance in front of it over which gas gains one standard deviation
ABDOMEN_MM = -5.0  # y in front of which deep fat is the abdomen's, not the kidneys'
BLUR_MM = 2.0  # of the boundary between pyramids and cortex
SINGLE_KIDNEY = 0.05
MISSING = {"gallbladder": 0.15, "spleen": 0.04, "pancreas": 0.04, "stomach": 0.05, "colon": 0.05, "small_bowel": 0.05}
"""Probability that an organ is missing."""
LOOPS, ASCITES = 0.4, 0.08  # share of patients with more bowel than the map's, and with fluid around the bowel


class _Body(NamedTuple):
    """The voxels to paint, arrays [z, y, x]: their HU and structures, and the fields that they are painted by."""

    hu: np.ndarray
    structures: np.ndarray
    depths: np.ndarray
    filling: np.ndarray  # a random field
    rising: np.ndarray  # the same field, higher towards the front, as gas rises in a supine patient
    canvas: Canvas
    look: Appearance


class Interior:
    """A random inner structure of a patient within `bounds`."""

    def __init__(self, rng: np.random.Generator, bounds: Bounds) -> None:
        # Depth in the map at which the skin begins; negative for a patient with more fat than the map's.
        self.surface_mm = rng.uniform(-28, 0) if rng.uniform() < 0.4 else rng.uniform(-6, 14)
        self.missing = [name for name, share in MISSING.items() if rng.uniform() < share]
        if rng.uniform() < SINGLE_KIDNEY:
            self.missing.append(str(rng.choice(KIDNEYS)))
        self.cortex_mm = rng.uniform(3.5, 8.0)
        # Thresholds of the fields below, which have unit variance.
        self.columns_below, self.calyces_above = rng.uniform(0.2, 0.8), rng.uniform(0.9, 2.6)
        self.pelvis_above, self.vessels_below = rng.uniform(-0.4, 1.4), rng.uniform(-1.6, -0.5)
        self.second_above, self.ascites_above = rng.uniform(-1, 1), rng.uniform(-1.5, 1.0)
        self.vessel_width, self.loop_width = rng.uniform(0.05, 0.3), rng.uniform(0.25, 0.5)
        self.loops, self.ascites = rng.uniform() < LOOPS, rng.uniform() < ASCITES
        self.deep_mm = rng.uniform(22, 36)  # depth of the abdomen's fat
        self.shell_mm = rng.uniform(1.0, 3.5)  # of cortical bone
        self.lobes = Field.noise(rng, bounds, rng.uniform(11, 18))
        self.pelvis = Field.noise(rng, bounds, rng.uniform(7, 12))
        self.filling = Field.noise(rng, bounds, rng.uniform(18, 40))
        self.segments = Field.noise(rng, bounds, 50)

    def apply(self, structures: np.ndarray, depths: np.ndarray) -> np.ndarray:
        """Remove missing organs and move the skin, in place; return the mask of the skin, bool [z, y, x]."""
        surface = self.surface_mm / DEPTH_STEP_MM
        coat = are(structures, ("air", "fat", "soft"))
        structures[coat & (depths < surface)] = INDEX["air"]
        structures[(structures == INDEX["air"]) & (depths >= surface)] = INDEX["fat"]
        if self.missing:
            structures[are(structures, self.missing)] = INDEX["fat"]
        return coat & (depths >= surface) & (depths < surface + SKIN_MM / DEPTH_STEP_MM)

    def paint(
        self, hu: np.ndarray, structures: np.ndarray, depths: np.ndarray, canvas: Canvas, look: Appearance
    ) -> None:
        """Paint the interior over the structures' mean HU, in place; structures and depths as `apply` left them."""
        filling = self.filling.sample(canvas.grid)
        rising = filling - ((canvas.grid.axes[1] - BOWEL_MM) / RISE_MM)[:, None]
        body = _Body(hu, structures, depths, filling, rising, canvas, look)
        self._paint_vessels(body)
        self._paint_abdomen(body)
        self._paint_kidneys(body)
        self._paint_sinus(body)
        self._paint_bowel(body)
        shell = (structures == INDEX["bone"]) & (depths < self.shell_mm / DEPTH_STEP_MM)
        hu[shell] += np.float32(look.shell - look.mean("bone"))

    def _paint_vessels(self, body: _Body) -> None:
        """Paint the vessels of all structures: lines along which two random fields are near 0."""
        at = np.nonzero((np.abs(body.filling) < self.vessel_width) & (np.abs(body.canvas.coarse) < self.vessel_width))
        inside = body.structures[at]
        shallow = (inside == INDEX["fat"]) & (body.depths[at] < self.deep_mm / DEPTH_STEP_MM)
        body.hu[at] += np.where(shallow, np.float32(0), body.look.vessels[inside] - body.look.means[inside])

    def _paint_abdomen(self, body: _Body) -> None:
        """Paint ascites and loops of bowel into the fat of the abdomen."""
        grid, look = body.canvas.grid, body.look
        if not (self.loops or self.ascites):
            return
        front = np.s_[:, : int(np.searchsorted(grid.axes[1], ABDOMEN_MM))]
        at = np.nonzero((body.structures[front] == INDEX["fat"]) & (body.depths[front] > self.deep_mm / DEPTH_STEP_MM))
        values = body.hu[at]
        if self.ascites:
            values[body.rising[at] > self.ascites_above] = look.ascites
        if self.loops:
            tubes = np.hypot(body.filling[at], self.segments.sample(grid)[at])
            content = look.contents["small_bowel"][1]
            values[tubes < self.loop_width + 0.1] = look.mean("small_bowel")
            lumen = tubes < self.loop_width
            fine = body.canvas.fine[at][lumen]
            values[lumen] = content.values(fine, np.full_like(fine, -9), look.mean("gas"))
        body.hu[at] = values

    def _paint_kidneys(self, body: _Body) -> None:
        """Paint pyramids, with columns of cortex between them, and calyces."""
        kidneys = are(body.structures, KIDNEYS)
        box = bounding_box(kidneys) or NOTHING
        at = np.nonzero(kidneys[box])
        depth_mm = body.depths[box][at] * np.float32(DEPTH_STEP_MM) - np.float32(self.cortex_mm)
        lobes = self.lobes.sample(body.canvas.grid.crop(box))[at]
        share = np.clip(depth_mm / BLUR_MM + 0.5, 0, 1) * np.clip((np.abs(lobes) - self.columns_below) * 4 + 0.5, 0, 1)
        values = body.hu[box][at] + np.float32(body.look.medulla - body.look.cortex) * share
        values[(depth_mm > 3) & (lobes > self.calyces_above)] = body.look.urine
        body.hu[box][at] = values

    def _paint_sinus(self, body: _Body) -> None:
        """Paint the renal pelvis and vessels amid the sinus fat."""
        sinus = body.structures == INDEX["sinus"]
        box = bounding_box(sinus) or NOTHING
        field = self.pelvis.sample(body.canvas.grid.crop(box))
        body.hu[box][sinus[box] & (field > self.pelvis_above)] = body.look.urine
        body.hu[box][sinus[box] & (field < self.vessels_below)] = body.look.mean("cava")

    def _paint_bowel(self, body: _Body) -> None:
        """Paint the contents within the wall, alternating between two kinds, with gas in front."""
        box = bounding_box(are(body.structures, BOWEL)) or NOTHING
        structures, depths, look = body.structures[box], body.depths[box], body.look
        second = self.segments.sample(body.canvas.grid.crop(box)) > self.second_above
        for name, contents in look.contents.items():
            at = np.nonzero((structures == INDEX[name]) & (depths > contents[0].wall_mm / DEPTH_STEP_MM))
            fine, filling = body.canvas.fine[box][at], body.rising[box][at]
            values = [content.values(fine, filling, look.mean("gas")) for content in contents]
            body.hu[box][at] = np.where(second[at], values[1], values[0])
