"""The structures that organ labels are grouped into, and the names of labels that belong to each."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

NAMES = (
    ("kidney_right", r"kidney.*right|right.*kidney"), ("kidney_left", r"kidney.*left|left.*kidney"),
    ("kidney", r"kidney"), ("adrenal", r"adrenal"), ("gallbladder", r"gall"), ("portal", r"portal|splenic_vein"),
    ("cava", r"cava|vena|vein"), ("artery", r"aorta|arter|trunk"), ("liver", r"liver"), ("spleen", r"spleen"),
    ("pancreas", r"pancrea"), ("stomach", r"stomach"), ("duodenum", r"duoden"),
    ("small_bowel", r"small_(bowel|intestine)"), ("colon", r"colon|rectum"), ("bladder", r"bladder"),
    ("pelvic_organ", r"prostate|uterus"), ("heart", r"heart|atri|ventric"), ("lung", r"lung|trachea"),
    ("cartilage", r"cartilage"), ("cord", r"cord"),
    ("bone", r"vertebra|rib|hip|femur|sacrum|sternum|scapula|humerus|clavic|skull|bone"),
    ("muscle", r"glute|autochthon|iliopsoas|muscle"),
)  # fmt: skip
"""(structure, pattern of a legend's name); the first pattern found in a name decides."""

UNNAMED = ("other", "air", "fat", "soft", "loose_bone", "gas", "sinus")
"""Structures of labels with other names, and of unlabelled tissue."""

STRUCTURES = (*(name for name, _ in NAMES if name != "kidney"), *UNNAMED)
INDEX = {name: number for number, name in enumerate(STRUCTURES)}

KIDNEYS = ("kidney_right", "kidney_left")
BOWEL = ("stomach", "duodenum", "small_bowel", "colon")
LESION_FREE = ("bone", "loose_bone", "cartilage", "cord", "air", "lung", "gas", "artery", "cava")


def structure_of(name: str) -> str:
    """Return the structure of a legend's name; "other" for an unknown name.

    Example:
        >>> structure_of("iliac_artery_left"), structure_of("Right Kidney"), structure_of("esophagus")
        ('artery', 'kidney_right', 'other')
    """
    name = name.lower().replace(" ", "_")
    if name in INDEX:
        return name
    return next((structure for structure, pattern in NAMES if re.search(pattern, name)), "other")


def are(structures: np.ndarray, names: Iterable[str]) -> np.ndarray:
    """Return the mask, bool, of the voxels that are one of the named structures."""
    return np.isin(np.arange(256), indices(names))[structures]


def indices(names: Iterable[str]) -> list[int]:
    """Return the numbers of structures."""
    return [INDEX[name] for name in names]
