"""Kidneys and tumors in three dimensions: shaded surfaces from four sides, the tumor shining through the kidney."""

import dataclasses

import numpy as np
from scipy import ndimage

from kits_tf.laterality import bounding_box

VIEWS = (
    ("from the front", 1, False, "RL"),
    ("from behind", 1, True, "LR"),
    ("from the patient's right", 2, False, "PA"),
    ("from the patient's left", 2, True, "AP"),
)
"""Name, axis looked along, whether from its end, letters of the left and right edge."""

_STEP_MM = 1.2
_MARGIN_MM = 6.0
_SMOOTHING_MM = 1.6  # of the masks, so that slices do not show as terraces
_LIGHT = np.array([0.45, -0.35, -0.82])  # from above, left and the viewer; up, right and into the picture
_SEEN_THROUGH = 0.55  # of the tumor's color where kidney lies before it


@dataclasses.dataclass(frozen=True)
class View:
    """One view.

    Attributes:
        title: from where.
        edges: letters of its left and right edge.
        kidney: [height, width] brightness 0 to 1 of the kidney's surface, NaN where there is none.
        tumor: the same of the tumor's.
        tumor_before: [height, width] bool, where the tumor lies before the kidney.
        pixel_mm: side of a pixel.
    """

    title: str
    edges: str
    kidney: np.ndarray
    tumor: np.ndarray
    tumor_before: np.ndarray
    pixel_mm: float


def views(labels, spacing_mm):
    """The four views of a label array.

    Args:
        labels: uint8 [slices, rows, columns], axes (I, P, L): 0 background, 1 kidney, 2 tumor.
        spacing_mm: (slice, row, column).

    Returns:
        List of `View`, empty where there is no kidney.
    """
    box = bounding_box(labels)
    if box is None:
        return []
    cut = labels[box]
    kidney, tumor = (_field(cut > threshold, spacing_mm) for threshold in (0, 1))
    return [_view(kidney, tumor, *view) for view in VIEWS]


def _field(mask, spacing_mm):
    """A smoothed mask on a grid of equal sides with room around it."""
    zoom = [side / _STEP_MM for side in spacing_mm]
    shape = [max(1, round(size * factor)) for size, factor in zip(mask.shape, zoom, strict=True)]
    zoom = [new / old for new, old in zip(shape, mask.shape, strict=True)]
    field = ndimage.zoom(mask.astype(np.float32), zoom, order=1, mode="nearest", grid_mode=True)
    return ndimage.gaussian_filter(np.pad(field, round(_MARGIN_MM / _STEP_MM)), _SMOOTHING_MM / _STEP_MM)


def _view(kidney, tumor, title, axis, from_end, edges):
    fields = [np.moveaxis(field, axis, 0) for field in (kidney, tumor)]
    # what remains is (slice, column) or (slice, row); seen from behind and from the right, left and right change
    if from_end:
        fields = [field[::-1] for field in fields]
    if edges in ("LR", "PA"):
        fields = [field[:, :, ::-1] for field in fields]
    (kidney_depth, kidney_light), (tumor_depth, tumor_light) = (_shaded(field) for field in fields)
    return View(title, edges, kidney_light, tumor_light, tumor_depth <= kidney_depth + 1, _STEP_MM)


def _shaded(field):
    """The depth and the brightness of the surface first met along axis 0; infinite and NaN where there is none."""
    inside = field > 0.5
    hit = inside.any(axis=0)
    depth = inside.argmax(axis=0)
    up, right = np.indices(hit.shape)
    slopes = np.stack([gradient[depth, up, right] for gradient in np.gradient(field)])
    into, down, rightwards = slopes
    outward = -np.stack([-down, rightwards, into])  # up, right, into the picture
    length = np.maximum(np.linalg.norm(outward, axis=0), 1e-9)
    light = np.tensordot(_LIGHT / np.linalg.norm(_LIGHT), outward / length, axes=1)
    return np.where(hit, depth, np.inf), np.where(hit, 0.3 + 0.7 * light.clip(0, 1), np.nan)


def colored(view, kidney_color, tumor_color, background):
    """A view as a picture.

    Args:
        view: a `View`.
        kidney_color: (red, green, blue), 0 to 1.
        tumor_color: the same.
        background: the same.

    Returns:
        float [height, width, 3], 0 to 1.
    """
    colors = {name: np.asarray(color, float) for name, color in (("kidney", kidney_color), ("tumor", tumor_color))}
    picture = np.broadcast_to(np.asarray(background, float), (*view.kidney.shape, 3)).copy()
    kidney = ~np.isnan(view.kidney)
    picture[kidney] = view.kidney[kidney, None] * colors["kidney"]
    tumor = ~np.isnan(view.tumor)
    share = np.where(view.tumor_before, 1.0, _SEEN_THROUGH)[tumor, None]
    picture[tumor] = share * view.tumor[tumor, None] * colors["tumor"] + (1 - share) * picture[tumor]
    return picture.clip(0, 1)
