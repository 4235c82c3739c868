"""Plane cuts through a CT with outlines of labels, as plain arrays and millimetres: what a figure shows where."""

import dataclasses

import numpy as np

from kits_tf.geometry import body_box
from kits_tf.laterality import bounding_box

PLANES = ("axial", "coronal", "sagittal")
EDGES = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
"""What lies at the left, right, top and bottom edge of each plane's picture."""

_ALONG_SLICES_MM = 60.0  # how much of the body is shown above and below kidneys and tumors
_MIN_STRIP_MM = 80.0
_STRIP_MARGIN_MM = 20.0


@dataclasses.dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        title: what it shows.
        edges: letters for its left, right, top and bottom edge; "" for none.
        hu: [height, width] HU.
        prediction: uint8 labels of the same shape.
        reference: uint8 labels of the same shape, or None.
        pixel_mm: (height, width) of a pixel.
    """

    title: str
    edges: str
    hu: np.ndarray
    prediction: np.ndarray
    reference: np.ndarray | None
    pixel_mm: tuple

    @property
    def size_mm(self):
        """(height, width)."""
        return self.hu.shape[0] * self.pixel_mm[0], self.hu.shape[1] * self.pixel_mm[1]


@dataclasses.dataclass(frozen=True)
class Case:
    """What is drawn.

    Attributes:
        hu: [slices, rows, columns], axes (I, P, L).
        spacing_mm: (slice, row, column).
        prediction: uint8 labels of the same shape.
        reference: uint8 labels of the same shape, or None.
    """

    hu: np.ndarray
    spacing_mm: tuple
    prediction: np.ndarray
    reference: np.ndarray | None = None

    @property
    def shown(self):
        """The labels that decide where to cut: the prediction, or the reference where nothing was predicted."""
        if self.reference is not None and not self.prediction.any():
            return self.reference
        return self.prediction


def views(case, threshold):
    """The three planes through the largest cross-sections of label > threshold, cut to the body.

    Args:
        case: a `Case`.
        threshold: 0 for kidney with tumor, 1 for tumor.

    Returns:
        List of three `Panel`; the middle planes where there is nothing.
    """
    box = shown_box(case)
    cuts = largest_cross_sections(case.shown > threshold)
    return [_panel(case, axis, cut, box) for axis, cut in enumerate(cuts)]


def error_views(case, threshold):
    """The three planes with the most errors of label > threshold; an empty list where there is none."""
    errors = (case.prediction > threshold) != (case.reference > threshold)
    if not errors.any():
        return []
    box = shown_box(case)
    return [_panel(case, axis, cut, box) for axis, cut in enumerate(largest_cross_sections(errors))]


def largest_cross_sections(mask):
    """The (slice, row, column) in which a mask has the most voxels; the middle ones of an empty mask."""
    if not mask.any():
        return tuple(side // 2 for side in mask.shape)
    return tuple(
        int(np.count_nonzero(mask, axis=tuple(other for other in range(3) if other != axis)).argmax())
        for axis in range(3)
    )


def tumor_strip(case, box, count=8):
    """Axial slices through a tumor, evenly spread from its first to its last.

    Args:
        case: a `Case`.
        box: the tumor's bounding box as a tuple of slices.
        count: slices at most.

    Returns:
        List of `Panel`.
    """
    first, last = box[0].start, box[0].stop - 1
    cuts = np.unique(np.linspace(first, last, min(count, last - first + 1)).round().astype(int))
    rows, columns = (
        _around(side, size, spacing)
        for side, size, spacing in zip(box[1:], case.hu.shape[1:], case.spacing_mm[1:], strict=True)
    )
    return [_panel(case, 0, int(cut), (slice(None), rows, columns), short=True) for cut in cuts]


def _panel(case, axis, cut, box, short=False):
    plane = PLANES[axis]
    index = tuple(cut if other == axis else box[other] for other in range(3))
    kind = ("slice", "row", "column")[axis]
    return Panel(
        title=f"{kind} {cut}" if short else f"{plane}, {kind} {cut}",
        edges="" if short else EDGES[plane],
        hu=case.hu[index],
        prediction=case.prediction[index],
        reference=None if case.reference is None else case.reference[index],
        pixel_mm=tuple(side for other, side in enumerate(case.spacing_mm) if other != axis),
    )


def shown_box(case):
    """The body in-plane, and the slices around kidneys and tumors."""
    rows, columns = (slice(int(start), int(stop)) for start, stop in body_box(case.hu))
    found = bounding_box(case.shown)
    if found is None:
        return slice(None), rows, columns
    margin = round(_ALONG_SLICES_MM / case.spacing_mm[0])
    slices = slice(max(0, found[0].start - margin), found[0].stop + margin)
    rows = slice(min(rows.start, found[1].start), max(rows.stop, found[1].stop))
    columns = slice(min(columns.start, found[2].start), max(columns.stop, found[2].stop))
    return slices, rows, columns


def _around(side, size, spacing_mm):
    """A stretch of an axis around a box's side, of at least 80 mm where the volume has them."""
    margin = max(_STRIP_MARGIN_MM, (_MIN_STRIP_MM - (side.stop - side.start) * spacing_mm) / 2)
    margin = round(margin / spacing_mm)
    return slice(max(0, side.start - margin), min(size, side.stop + margin))
