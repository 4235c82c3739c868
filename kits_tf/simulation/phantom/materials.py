"""What tissues look like on CT: their Hounsfield units by contrast phase, and how they vary within."""

import numpy as np

PHASES = ("unenhanced", "corticomedullary", "nephrographic", "excretory")

# Range of a tissue's mean HU over patients, in each of PHASES. Typical values of abdominal CT at 120 kV; the ranges of
# kidney, liver, spleen and vessels overlap, as they do between patients and injection timings.
ENHANCING = {
    "cortex": ((26, 40), (135, 225), (112, 200), (100, 165)),
    "medulla": ((24, 38), (60, 120), (100, 195), (105, 175)),
    "urine": ((-2, 12), (0, 18), (5, 60), (220, 800)),
    "liver": ((40, 66), (60, 105), (92, 158), (85, 130)),
    "spleen": ((40, 56), (105, 185), (110, 168), (92, 132)),
    "pancreas": ((32, 48), (85, 135), (80, 130), (70, 105)),
    "artery": ((34, 48), (210, 340), (130, 190), (100, 145)),
    "cava": ((32, 48), (80, 150), (125, 190), (100, 145)),
    "portal": ((32, 48), (100, 160), (135, 195), (105, 150)),
    "muscle": ((42, 60), (48, 68), (54, 84), (54, 80)),
    "bowel_wall": ((30, 45), (75, 130), (75, 130), (65, 110)),
    "adrenal": ((10, 30), (50, 90), (55, 90), (45, 75)),
    "heart": ((34, 46), (150, 260), (120, 170), (100, 140)),
    "uterus": ((36, 50), (60, 100), (80, 120), (75, 110)),
    "tumor_clear_cell": ((26, 42), (100, 190), (85, 140), (70, 115)),
    "tumor_papillary": ((26, 44), (45, 75), (50, 85), (50, 85)),
    "tumor_chromophobe": ((28, 44), (75, 125), (75, 115), (65, 100)),
    "tumor_solid": ((26, 40), (120, 200), (100, 150), (85, 120)),
}

CONSTANT = {
    "air": (-1004, -992),
    "lung": (-880, -780),
    "fat": (-112, -92),
    "stranded_fat": (-104, -78),
    "skin": (20, 60),
    "fascia": (-20, 30),
    "table_shell": (-220, 20),
    "table_core": (-960, -900),
    "cortical_bone": (420, 750),
    "spongy_bone": (120, 260),
    "disc": (65, 100),
    "canal": (5, 30),
    "cartilage": (70, 120),
    "bile": (0, 18),
    "gas": (-990, -930),
    "fluid": (0, 35),
    "stool": (-60, 60),
    "contrast": (120, 420),
    "cyst": (-3, 20),
    "dense_cyst": (30, 75),
    "necrosis": (8, 34),
    "calcium": (300, 900),
}

# Standard deviations in HU of the variation within a tissue: (coarse, about 25 mm; fine, about 6 mm).
TEXTURE = {
    "lung": (25, 45),
    "fat": (4, 5),
    "stranded_fat": (5, 12),
    "muscle": (5, 9),
    "liver": (3, 4),
    "spleen": (3, 4),
    "cortex": (5, 6),
    "medulla": (6, 8),
    "artery": (3, 2),
    "cava": (12, 8),
    "portal": (5, 3),
    "pancreas": (6, 14),
    "bowel_wall": (6, 8),
    "spongy_bone": (15, 35),
    "cortical_bone": (40, 60),
    "fluid": (6, 6),
    "stool": (40, 90),
    "contrast": (30, 40),
    "gas": (4, 4),
    "heart": (10, 6),
    "uterus": (8, 10),
    "disc": (6, 6),
    "urine": (4, 3),
    "necrosis": (4, 5),
    "tumor_clear_cell": (14, 22),
    "tumor_papillary": (4, 6),
    "tumor_chromophobe": (6, 8),
    "tumor_solid": (6, 10),
    "table_core": (4, 4),
}

TISSUES = ("air", *(name for name in (*ENHANCING, *CONSTANT) if name != "air"))
TISSUE_INDEX = {name: i for i, name in enumerate(TISSUES)}


class Materials:
    """One patient's mean HU for every tissue, drawn once.

    Args:
        rng: a NumPy generator.
        phase: one of PHASES.

    Attributes:
        phase: the phase's name.
        hu: tissue name -> mean HU.
    """

    def __init__(self, rng, phase):
        self.phase = phase
        index = PHASES.index(phase)
        # Cardiac output and dose move all of a patient's enhancement the same way, tissues then differ on their own.
        strength = rng.uniform()
        self.hu = {}
        for name, ranges in ENHANCING.items():
            low, high = ranges[index]
            self.hu[name] = low + (high - low) * (0.5 * strength + 0.5 * rng.uniform())
        for name, (low, high) in CONSTANT.items():
            self.hu[name] = rng.uniform(low, high)

    def texture(self, tissue):
        """(coarse, fine) standard deviations in HU."""
        return TEXTURE.get(tissue, (2, 3))


def hu_range(tissue, phase):
    """(low, high) range of a tissue's mean HU in a phase."""
    if tissue in CONSTANT:
        return CONSTANT[tissue]
    return ENHANCING[tissue][PHASES.index(phase)]


def mixed_rng(*key):
    """A generator for a key of integers: the same key gives the same numbers, whatever else was drawn."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([int(k) for k in key])))
