"""The structures that organ labels are grouped into: which names mean them and which phantom tissue they are like."""

import re

# What the names of a legend say, the first that fits: (structure, pattern).
NAMES = (
    ("kidney_right", r"kidney.*right|right.*kidney"),
    ("kidney_left", r"kidney.*left|left.*kidney"),
    ("kidney", r"kidney"),
    ("adrenal", r"adrenal"),
    ("gallbladder", r"gall"),
    ("portal", r"portal|splenic_vein"),
    ("cava", r"cava|vena|vein"),
    ("artery", r"aorta|arter|trunk"),
    ("liver", r"liver"),
    ("spleen", r"spleen"),
    ("pancreas", r"pancrea"),
    ("stomach", r"stomach"),
    ("duodenum", r"duoden"),
    ("small_bowel", r"small_(bowel|intestine)"),
    ("colon", r"colon|rectum"),
    ("bladder", r"bladder"),
    ("pelvic_organ", r"prostate|uterus"),
    ("heart", r"heart|atri|ventric"),
    ("lung", r"lung|trachea"),
    ("cartilage", r"cartilage"),
    ("cord", r"cord"),
    ("bone", r"vertebra|rib|hip|femur|sacrum|sternum|scapula|humerus|clavic|skull|bone"),
    ("muscle", r"glute|autochthon|iliopsoas|muscle"),
)

# The rest: labels of any other name, and what no label says.
OTHERS = ("other", "air", "fat", "soft", "loose_bone", "gas", "sinus")

STRUCTURES = (*(name for name, _ in NAMES if name != "kidney"), *OTHERS)
INDEX = {name: number for number, name in enumerate(STRUCTURES)}

KIDNEYS = ("kidney_right", "kidney_left")
BOWEL = ("stomach", "duodenum", "small_bowel", "colon")
HARD = ("bone", "loose_bone", "cartilage", "cord", "air", "lung", "gas", "artery", "cava")  # where no mass grows

# Tissues of `phantom.materials` whose texture the structures have.
TISSUES = {
    "kidney_right": "cortex",
    "kidney_left": "cortex",
    "stomach": "bowel_wall",
    "duodenum": "bowel_wall",
    "small_bowel": "bowel_wall",
    "colon": "bowel_wall",
    "gallbladder": "bile",
    "bladder": "urine",
    "pelvic_organ": "uterus",
    "cord": "canal",
    "bone": "spongy_bone",
    "loose_bone": "spongy_bone",
    "other": "muscle",
    "soft": "muscle",
    "sinus": "stranded_fat",
}


def structure_of(name):
    """The structure that a legend's name means; "other" for a name that none fits."""
    for structure, pattern in NAMES:
        if re.search(pattern, name.lower().replace(" ", "_")):
            return structure
    return "other"


def tissue_of(structure):
    """The phantom's tissue that a structure is like."""
    return TISSUES.get(structure, structure)


def indices(names):
    """Numbers of structures, list of int."""
    return [INDEX[name] for name in names]
