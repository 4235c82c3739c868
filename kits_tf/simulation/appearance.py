"""A patient's HU: a random mean for each structure, from ranges wider than those of one scanner or population."""

from __future__ import annotations

import numpy as np

from kits_tf.config import PHASES
from kits_tf.simulation.structures import BOWEL, INDEX, STRUCTURES

RANGES = {
    "kidney": ((5, 60), (75, 270)), "liver": ((25, 75), (55, 185)), "spleen": ((25, 62), (70, 200)),
    "pancreas": ((-10, 55), (45, 150)), "adrenal": ((-5, 42), (25, 120)), "gallbladder": ((-8, 30), (-8, 45)),
    "portal": ((25, 62), (70, 240)), "cava": ((25, 62), (60, 230)), "artery": ((25, 62), (90, 360)),
    "bladder": ((-8, 25), (-8, 60)), "pelvic_organ": ((5, 58), (35, 140)), "heart": ((25, 60), (90, 300)),
    "lung": ((-950, -600), (-950, -600)), "cartilage": ((40, 150), (40, 150)), "cord": ((-5, 45), (-5, 50)),
    "bone": ((60, 240), (60, 250)), "muscle": ((10, 70), (30, 90)), "soft": ((5, 70), (15, 90)),
    "other": ((0, 100), (0, 150)), "air": ((-1024, -985), (-1024, -985)), "fat": ((-125, -75), (-125, -72)),
    "loose_bone": ((120, 450), (120, 450)), "gas": ((-1000, -850), (-1000, -850)), "wall": ((10, 55), (30, 140)),
}  # fmt: skip
"""(unenhanced, enhanced) ranges of mean HU; "wall" is the bowel's."""

SHARED_ENHANCEMENT = 0.4  # of cardiac output, dose and delay, which move all structures of a patient together
ARTERIAL_HU = 40  # by which the cortex is brighter in the corticomedullary phase than later
URINE_HU = ((-8, 22), (-8, 25), (-5, 90), (60, 900))  # by phase
MEDULLA = ((-0.25, 0.15), (-0.75, -0.3), (-0.3, 0.1), (-0.15, 0.3))  # by phase: offset per HU of the cortex over 30

TUMORS = {
    "clear_cell": ((26, 42), (100, 190), (85, 140), (70, 115)),
    "papillary": ((26, 44), (45, 75), (50, 85), (50, 85)),
    "chromophobe": ((28, 44), (75, 125), (75, 115), (65, 100)),
    "solid": ((26, 40), (120, 200), (100, 150), (85, 120)),
}
"""Ranges of mean HU of kidney tumors by phase; typical values of abdominal CT at 120 kV."""

TEXTURES = {
    "kidney_right": (5, 6), "kidney_left": (5, 6), "liver": (3, 4), "spleen": (3, 4), "pancreas": (6, 14),
    "portal": (5, 3), "cava": (12, 8), "artery": (3, 2), "stomach": (6, 8), "duodenum": (6, 8), "small_bowel": (6, 8),
    "colon": (6, 8), "bladder": (4, 3), "pelvic_organ": (8, 10), "heart": (10, 6), "lung": (25, 45), "bone": (15, 35),
    "loose_bone": (15, 35), "muscle": (5, 9), "soft": (5, 9), "other": (5, 9), "fat": (4, 5), "sinus": (5, 12),
    "gas": (4, 4), "cortical_bone": (40, 60), "table_core": (4, 4), "clear_cell": (14, 22), "papillary": (4, 6),
    "chromophobe": (6, 8), "solid": (6, 10), "necrosis": (4, 5),
}  # fmt: skip
"""Standard deviations in HU of the variation within a tissue: (coarse, of about 25 mm; fine, of about 6 mm)."""

LIKE_KIDNEY = {"liver": 0.25, "spleen": 0.35, "heart": 0.35, "pancreas": 0.2, "wall": 0.2, "cava": 0.2, "portal": 0.2}
"""Probability that a structure is as bright as the kidneys."""

CONTENTS_HU = {"fluid": (-15, 50, 10), "stool": (-90, 90, 90), "contrast": (90, 450, 50)}  # low, high, variation
CONTENT_SHARES = (0.6, 0.15, 0.25)
COLON_CONTENT_SHARES = (0.3, 0.55, 0.15)
STRANDED, STRANDING = 0.2, 5.0  # share of patients with fat stranding, and the factor of its texture
MOTTLED, MOTTLING = 0.5, 6.0  # likewise, of mottled spleens in the corticomedullary phase
VESSELS = {"liver": "portal", "fat": "cava", "sinus": "artery", "lung": "muscle", "pancreas": "portal"}
"""The structure that has the HU of the vessels within another one."""


def texture(tissue: str, default: tuple[float, float] = (2, 3)) -> tuple[float, float]:
    """Return the (coarse, fine) standard deviations of a tissue in HU."""
    return TEXTURES.get(tissue, default)


class BowelContent:
    """What fills a part of the bowel; `shares` are the probabilities of fluid, stool and swallowed contrast."""

    def __init__(self, rng: np.random.Generator, shares: tuple[float, ...]) -> None:
        self.wall_mm = rng.uniform(1.0, 3.5)
        kind = rng.choice(list(CONTENTS_HU), p=shares)
        low, high, grain = CONTENTS_HU[kind]
        self.hu = rng.uniform(low, high)
        self.grain_hu = rng.uniform(0.1, 1) * grain
        self.gas_above = rng.uniform(-0.6, 2.2)  # threshold of the field `Interior.filling`
        self.bubbles_above = rng.uniform(0.7, 2.0) if kind == "stool" else 9.0  # of the fine texture

    def values(self, fine: np.ndarray, filling: np.ndarray, gas_hu: float) -> np.ndarray:
        """Return the HU of voxels, float32, from their fine texture and their values of `Interior.filling`."""
        gas = (filling > self.gas_above) | (fine > self.bubbles_above)
        return np.where(gas, gas_hu, self.hu + self.grain_hu * fine).astype(np.float32)


class Appearance:
    """The random HU of one patient in one of `config.PHASES`.

    Attributes:
        means, coarse, fine: Float32 by structure: mean HU, and standard deviations of coarse and fine texture.
        vessels: Float32 by structure: mean HU of the vessels within it.
        contents: Two kinds of content for each part of the bowel.
    """

    def __init__(self, rng: np.random.Generator, phase: str) -> None:
        self.phase = phase
        number = PHASES.index(phase)
        strength = rng.uniform()
        shared = SHARED_ENHANCEMENT * self.enhanced
        hu = {}
        for name, ranges in RANGES.items():
            low, high = ranges[self.enhanced]
            hu[name] = low + (high - low) * (shared * strength + (1 - shared) * rng.uniform())
        self.cortex = hu["kidney"] + (ARTERIAL_HU if phase == "corticomedullary" else 0)
        self.medulla = self.cortex + rng.uniform(*MEDULLA[number]) * max(self.cortex - 30, 20)
        for name, share in LIKE_KIDNEY.items():
            if rng.uniform() < share:
                hu[name] = self.medulla + (self.cortex - self.medulla) * rng.uniform()
        self.urine = rng.uniform(*URINE_HU[number])
        self.calculus = rng.uniform(200, 1300)
        self.shell = hu["bone"] + rng.uniform(60, 450)
        self.skin = rng.uniform(-20, 60)
        if rng.uniform() < 0.5:
            hu["soft"] = hu["muscle"] + rng.uniform(-8, 8)
        if phase == "excretory" and rng.uniform() < 0.5:
            hu["bladder"] = self.urine * rng.uniform(0.3, 1)
        shares = {name: COLON_CONTENT_SHARES if name == "colon" else CONTENT_SHARES for name in BOWEL}
        self.contents = {name: (BowelContent(rng, share), BowelContent(rng, share)) for name, share in shares.items()}
        self.ascites = rng.uniform(-5, 30)
        hu |= {"kidney_right": self.cortex, "kidney_left": self.cortex + rng.normal(0, 4)}
        hu |= dict.fromkeys(BOWEL, hu["wall"]) | {"sinus": hu["fat"] + rng.uniform(0, 25)}
        self.means = np.array([hu[name] for name in STRUCTURES], np.float32)
        self.vessels = np.array([hu[VESSELS.get(name, name)] for name in STRUCTURES], np.float32)
        roughness = rng.uniform(0.3, 1.2) if rng.uniform() < 0.8 else 0.0
        textures = np.array([texture(name, default=(4, 6)) for name in STRUCTURES], float)
        if rng.uniform() < STRANDED:
            textures[INDEX["fat"]] *= STRANDING * rng.uniform()
        if phase == "corticomedullary" and rng.uniform() < MOTTLED:
            textures[INDEX["spleen"]] *= MOTTLING
        textures *= roughness * rng.uniform(0.5, 1.5, (len(STRUCTURES), 1))
        self.coarse, self.fine = textures.T.astype(np.float32)

    @property
    def enhanced(self) -> bool:
        """Whether the phase is one after contrast."""
        return self.phase != "unenhanced"

    def mean(self, structure: str) -> float:
        """Return a structure's mean HU."""
        return float(self.means[INDEX[structure]])

    def tumor_hu(self, rng: np.random.Generator, kind: str) -> float:
        """Return a mean HU for a kind of tumor; with contrast, at least 15 HU from the cortex."""
        hu = rng.uniform(*TUMORS[kind][PHASES.index(self.phase)])
        if self.enhanced and abs(hu - self.cortex) < 15:
            hu = self.cortex + (18 if hu > self.cortex else -18)
        return float(hu)
