"""One patient's HU: a random mean for every structure, from ranges wider than any one scanner and patient shows."""

import numpy as np

from kits_tf.simulation.anatomy.structures import BOWEL, INDEX, STRUCTURES, tissue_of
from kits_tf.simulation.phantom.materials import PHASES, TEXTURE, Materials

# (unenhanced, enhanced) ranges of the mean HU.
RANGES = {
    "kidney": ((5, 60), (85, 260)),
    "liver": ((25, 75), (55, 185)),
    "spleen": ((25, 62), (70, 200)),
    "pancreas": ((-10, 55), (45, 150)),
    "adrenal": ((-5, 42), (25, 120)),
    "gallbladder": ((-8, 30), (-8, 45)),
    "portal": ((25, 62), (70, 240)),
    "cava": ((25, 62), (60, 230)),
    "artery": ((25, 62), (90, 360)),
    "bladder": ((-8, 25), (-8, 60)),
    "pelvic_organ": ((5, 58), (35, 140)),
    "heart": ((25, 60), (90, 300)),
    "lung": ((-950, -600), (-950, -600)),
    "cartilage": ((40, 150), (40, 150)),
    "cord": ((-5, 45), (-5, 50)),
    "bone": ((60, 240), (60, 250)),
    "muscle": ((10, 70), (30, 90)),
    "soft": ((5, 70), (15, 90)),
    "other": ((0, 100), (0, 150)),
    "air": ((-1024, -985), (-1024, -985)),
    "fat": ((-125, -75), (-125, -72)),
    "loose_bone": ((120, 450), (120, 450)),
    "gas": ((-1000, -850), (-1000, -850)),
    "wall": ((10, 55), (30, 140)),
}
SHARED = 0.4  # of a patient's enhancement, the same for all structures: cardiac output, dose, delay
URINE = ((-8, 22), (-8, 25), (-5, 90), (60, 900))  # by phase
# Medulla: cortex plus this share of what the cortex lies above 30 HU, by phase.
MEDULLA = ((-0.25, 0.15), (-0.7, -0.2), (-0.15, 0.12), (-0.1, 0.3))

KINDS = ((0.6, 0.15, 0.25), (0.3, 0.55, 0.15))  # shares of fluid, stool and contrast in the bowel, and in the colon


class Appearance:
    """What a case looks like.

    Args:
        rng: a NumPy generator.
        phase: one of `materials.PHASES`.

    Attributes:
        materials: the phantom's `Materials`, with this patient's HU of kidney, urine, vessels, fat and muscle; masses
            are painted with it.
        means, coarse, fine: float32 by structure: mean HU, and the standard deviations of coarse and fine texture.
        cortex, medulla, urine, calculus, shell, skin: mean HU.
        contents: {bowel structure: `Content`}.
    """

    def __init__(self, rng, phase):
        enhanced = phase != PHASES[0]
        strength = rng.uniform()
        hu = {}
        for name, ranges in RANGES.items():
            low, high = ranges[enhanced]
            share = SHARED * strength * enhanced + (1 - SHARED * enhanced) * rng.uniform()
            hu[name] = low + (high - low) * share
        self.cortex = hu["kidney"]
        low, high = MEDULLA[PHASES.index(phase)]
        self.medulla = self.cortex + rng.uniform(low, high) * max(self.cortex - 30, 20)
        self.urine = rng.uniform(*URINE[PHASES.index(phase)])
        self.calculus = rng.uniform(200, 1300)
        self.shell = hu["bone"] + rng.uniform(60, 450)
        self.skin = rng.uniform(-20, 60)
        if rng.uniform() < 0.5:
            hu["soft"] = hu["muscle"] + rng.uniform(-8, 8)
        if phase == PHASES[3] and rng.uniform() < 0.5:
            hu["bladder"] = self.urine * rng.uniform(0.3, 1)
        self.contents = {name: Content(rng, KINDS[name == "colon"]) for name in BOWEL}
        hu |= {"kidney_right": self.cortex, "kidney_left": self.cortex + rng.normal(0, 4)}
        hu |= {name: hu["wall"] for name in BOWEL} | {"sinus": hu["fat"] + rng.uniform(0, 25)}
        self.means = np.array([hu[name] for name in STRUCTURES], np.float32)
        roughness = rng.uniform(0.3, 1.2) if rng.uniform() < 0.8 else 0.0
        textures = np.array([TEXTURE.get(tissue_of(name), (4, 6)) for name in STRUCTURES], np.float32)
        self.coarse, self.fine = (textures * roughness * rng.uniform(0.5, 1.5, (len(STRUCTURES), 1))).T.astype("f4")
        self.materials = self.masses_materials(rng, phase, hu)

    def masses_materials(self, rng, phase, hu):
        """The phantom's materials with this patient's own HU where the names are the same."""
        materials = Materials(rng, phase)
        materials.hu |= {name: value for name, value in hu.items() if name in materials.hu}
        materials.hu |= {"cortex": self.cortex, "medulla": self.medulla, "urine": self.urine, "calcium": self.calculus}
        return materials

    def mean(self, structure):
        """A structure's mean HU."""
        return float(self.means[INDEX[structure]])


class Content:
    """What a part of the bowel holds.

    Args:
        rng: a NumPy generator.
        shares: how often it is fluid, stool or swallowed contrast.

    Attributes:
        wall_mm: thickness of its wall.
        hu, grain_hu: mean and fine variation of what fills it: fluid, stool or swallowed contrast.
        gas_above: value of a random field above which there is gas.
        bubbles_above: the same for specks of gas within stool.
    """

    def __init__(self, rng, shares):
        self.wall_mm = rng.uniform(1.0, 3.5)
        kind = rng.choice(["fluid", "stool", "contrast"], p=shares)
        low, high, grain = {"fluid": (-15, 50, 10), "stool": (-90, 90, 90), "contrast": (90, 450, 50)}[kind]
        self.hu = rng.uniform(low, high)
        self.grain_hu = rng.uniform(0.1, 1) * grain
        self.gas_above = rng.uniform(-0.6, 2.2)
        self.bubbles_above = rng.uniform(0.7, 2.0) if kind == "stool" else 9.0
