"""What a patient is made of: solids painted one over another."""

import dataclasses


@dataclasses.dataclass
class Layer:
    """A solid of one tissue.

    Attributes:
        shape: an implicit solid (`shapes.py`).
        tissue: a name of `materials.TISSUES`.
        hu: mean HU, or None for the patient's own value of this tissue.
        texture: (coarse, fine) standard deviations in HU, or None for the tissue's own.
        label: 0, 1 or 2 to set the label, None to leave it.
        within: paint only where the label so far is one of these; None for everywhere.
    """

    shape: object
    tissue: str
    hu: float | None = None
    texture: tuple | None = None
    label: int | None = None
    within: tuple | None = None


@dataclasses.dataclass
class Patient:
    """Layers in painting order and where they are.

    Attributes:
        layers: list of Layer; later ones cover earlier ones.
        frame: the build of the trunk.
        ends_mm: (first, last) z in mm of what of the trunk may be scanned.
        kidney_ends_mm: (first, last) z in mm of the kidneys and tumors.
    """

    layers: list
    frame: object
    ends_mm: tuple
    kidney_ends_mm: tuple
