"""What lies within the structures of a map: pyramids and calyces, the sinus, the bowel's contents, bones' shells."""

import dataclasses

import numpy as np

from kits_tf.simulation.anatomy.refining import DEPTH_STEP_MM, box_of
from kits_tf.simulation.anatomy.structures import BOWEL, INDEX, KIDNEYS, indices
from kits_tf.simulation.phantom.fields import Field

SKIN_MM = 2.0
BOWEL_MM, RISE_MM = -60.0, 60.0  # y of the bowel's middle, and how far before it gas is likelier by one deviation


@dataclasses.dataclass
class Insides:
    """One patient's own inner structure.

    Attributes:
        surface_mm: depth in the map at which this patient's skin begins; negative for one fatter than the map's.
        missing: the kidney taken out, or None.
        cortex_mm: thickness of the cortex; `pyramids_above` and `calyces_above` bound the field of the lobes.
        pelvis_above, vessels_below: bounds of the field that splits the sinus.
        shell_mm: thickness of the bones' shell.
        lobes, pelvis, filling: random `Field`s of unit variance.
    """

    surface_mm: float
    missing: str | None
    cortex_mm: float
    pyramids_above: float
    calyces_above: float
    pelvis_above: float
    vessels_below: float
    shell_mm: float
    lobes: Field
    pelvis: Field
    filling: Field

    @classmethod
    def draw(cls, rng, bounds):
        """Random insides of a patient within `bounds` = (low, high) mm."""
        return cls(
            surface_mm=float(rng.uniform(-28, 0) if rng.uniform() < 0.4 else rng.uniform(-6, 14)),
            missing=str(rng.choice(KIDNEYS)) if rng.uniform() < 0.03 else None,
            cortex_mm=rng.uniform(3.5, 8.0),
            pyramids_above=rng.uniform(-0.7, 0.4),
            calyces_above=rng.uniform(0.9, 2.6),
            pelvis_above=rng.uniform(-0.4, 1.4),
            vessels_below=rng.uniform(-1.6, -0.5),
            shell_mm=rng.uniform(1.0, 3.5),
            lobes=Field.noise(rng, bounds, rng.uniform(8, 13)),
            pelvis=Field.noise(rng, bounds, rng.uniform(7, 12)),
            filling=Field.noise(rng, bounds, rng.uniform(18, 40)),
        )

    def settle(self, structures, depths):
        """Takes out the missing kidney and moves the skin, in place.

        Args:
            structures: uint8 [z, y, x].
            depths: int8 [z, y, x] in steps of DEPTH_STEP_MM.

        Returns:
            Where the skin is, bool [z, y, x].
        """
        if self.missing:
            structures[structures == INDEX[self.missing]] = INDEX["fat"]
        surface = self.surface_mm / DEPTH_STEP_MM
        coat = np.isin(structures, indices(("air", "fat", "soft")))
        structures[coat & (depths < surface)] = INDEX["air"]
        structures[(structures == INDEX["air"]) & (depths >= surface)] = INDEX["fat"]
        return coat & (depths >= surface) & (depths < surface + SKIN_MM / DEPTH_STEP_MM)

    def paint(self, hu, grid, structures, depths, fine, look):
        """Paints them over the structures' own means, in place.

        Args:
            hu: float32 [z, y, x].
            grid: the voxels' `Grid`.
            structures, depths: as `settle` left them.
            fine: fine texture of unit variance, float32 [z, y, x].
            look: an `Appearance`.
        """
        self.paint_kidneys(hu, grid, structures, depths, look)
        self.paint_sinus(hu, grid, structures, look)
        self.paint_bowel(hu, grid, structures, depths, fine, look)
        shell = (structures == INDEX["bone"]) & (depths < self.shell_mm / DEPTH_STEP_MM)
        hu[shell] += np.float32(look.shell - look.mean("bone"))

    def paint_kidneys(self, hu, grid, structures, depths, look):
        """Pyramids and calyces."""
        box = box_of(np.isin(structures, indices(KIDNEYS)))
        if box is None:
            return
        deep = np.isin(structures[box], indices(KIDNEYS)) & (depths[box] > self.cortex_mm / DEPTH_STEP_MM)
        lobes = self.lobes.sample(grid.crop(box))
        hu[box][deep & (lobes > self.pyramids_above)] += np.float32(look.medulla - look.cortex)
        innermost = deep & (depths[box] > (self.cortex_mm + 3) / DEPTH_STEP_MM)
        hu[box][innermost & (lobes > self.calyces_above)] = look.urine

    def paint_sinus(self, hu, grid, structures, look):
        """Pelvis and vessels amid the sinus' fat."""
        box = box_of(structures == INDEX["sinus"])
        if box is None:
            return
        sinus = structures[box] == INDEX["sinus"]
        field = self.pelvis.sample(grid.crop(box))
        hu[box][sinus & (field > self.pelvis_above)] = look.urine
        hu[box][sinus & (field < self.vessels_below)] = look.mean("cava")

    def paint_bowel(self, hu, grid, structures, depths, fine, look):
        """Contents within the wall, with gas that has risen."""
        box = box_of(np.isin(structures, indices(BOWEL)))
        if box is None:
            return
        crop = grid.crop(box)
        filling = self.filling.sample(crop) - ((crop.y - BOWEL_MM) / RISE_MM)[None, :, None]
        for name in BOWEL:
            content = look.contents[name]
            own = (structures[box] == INDEX[name]) & (depths[box] > content.wall_mm / DEPTH_STEP_MM)
            at = np.nonzero(own)
            values = content.hu + content.grain_hu * fine[box][at]
            gas = (filling[at] > content.gas_above) | (fine[box][at] > content.bubbles_above)
            values[gas] = look.mean("gas")
            hu[box][at] = values
