"""Pictures of CT with label outlines, errors as areas, and surfaces in three dimensions.

Predictions are colored and references white. Needs matplotlib.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from kits_tf import palette
from kits_tf.boxes import Box, bounding_box, enlarged
from kits_tf.geometry import body_box

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kits_tf.io.volume import Grid

WINDOW_HU = (-160.0, 240.0)
"""The usual soft-tissue window: level 40, width 400."""
EDGES = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
"""Directions at the left, right, top and bottom edge of each plane, in the order of their axes."""
SURFACE_VIEWS = {
    "from the front": -90,
    "from the patient's left": 0,
    "from behind": 90,
    "from the patient's right": 180,
}
"""Azimuth of the viewer, degrees from the patient's left."""

_DPI = 100
_ALONG_SLICES_MM = 60.0  # shown above and below kidneys and tumors
_STRIP_SLICES = 8
_STRIP_MARGIN_MM, _MIN_STRIP_MM = 20.0, 80.0
_SURFACE_STEP_MM = 3.0
_LINE_WIDTHS = {"solid": 1.8, "dashed": 1.6, "dotted": 2.0}
_RIM = 0.8  # width of the black rim around lines and letters, which makes them visible on bright organs


@dataclasses.dataclass(frozen=True)
class Scene:
    """A CT [slices, rows, columns], axes (I, P, L), with uint8 labels of the same shape."""

    hu: np.ndarray
    spacing_mm: Sequence[float]
    prediction: np.ndarray
    reference: np.ndarray | None = None
    grid: Grid | None = None  # of the file; shows its own slice numbers

    @property
    def labels(self) -> np.ndarray:
        """The labels that decide which planes are shown: the prediction or, if it is empty, the reference."""
        return self.prediction if self.reference is None or self.prediction.any() else self.reference


@dataclasses.dataclass(frozen=True)
class Panel:
    """One plane of a scene, [height, width], with letters for its left, right, top and bottom edge."""

    title: str
    edges: str
    hu: np.ndarray
    prediction: np.ndarray
    reference: np.ndarray | None
    pixel_mm: Sequence[float]

    @property
    def size_mm(self) -> tuple[float, float]:
        """Return (height, width)."""
        return self.hu.shape[0] * self.pixel_mm[0], self.hu.shape[1] * self.pixel_mm[1]


def plane_panels(scene: Scene, mask: np.ndarray) -> list[Panel]:
    """Return the axial, coronal and sagittal plane through a mask's largest cross-sections, cropped to the body."""
    box = shown_box(scene)
    cuts = largest_cross_sections(mask)
    return [_panel(scene, axis, cut, box) for axis, cut in enumerate(cuts)]


def tumor_panels(scene: Scene, box: Box) -> list[Panel]:
    """Return up to eight axial slices, spread evenly from the first to the last of a tumor's bounding box."""
    first, last = box[0].start, box[0].stop - 1
    cuts = np.unique(np.linspace(first, last, min(_STRIP_SLICES, last - first + 1)).round().astype(int))
    margins = [
        round(max(_STRIP_MARGIN_MM, (_MIN_STRIP_MM - (side.stop - side.start) * side_mm) / 2) / side_mm)
        for side, side_mm in zip(box, scene.spacing_mm, strict=True)
    ]
    around = enlarged(box, margins, scene.hu.shape)
    return [_panel(scene, 0, int(cut), around) for cut in cuts]


def largest_cross_sections(mask: np.ndarray) -> tuple[int, ...]:
    """Return the (slice, row, column) in which a mask has the most voxels; the middle ones of an empty mask.

    Example:
        >>> mask = np.zeros((4, 6, 9), bool)
        >>> mask[1, 2:4, 7] = True
        >>> largest_cross_sections(mask)
        (1, 2, 7)
    """
    if not mask.any():
        return tuple(side // 2 for side in mask.shape)
    others = ((1, 2), (0, 2), (0, 1))
    return tuple(int(np.count_nonzero(mask, axis=axes).argmax()) for axes in others)


def draw(
    panels: Sequence[Panel], errors_of: int | None = None, width_pixels: int = 640, file_format: str = "jpeg"
) -> bytes:
    """Draw panels side by side at one scale, with outlines of the labels.

    Args:
        panels: One or more panels.
        errors_of: If given, fill the missed and extra areas of label > `errors_of` instead.
        width_pixels: Width of the picture; the scale is at most 4 pixels per mm.
        file_format: "jpeg" or "png".

    Returns:
        The bytes of a file.
    """
    heights, widths = zip(*(panel.size_mm for panel in panels), strict=True)
    per_mm = min(width_pixels / sum(widths), 4.0)
    figure = _figure(sum(widths) * per_mm, max(heights) * per_mm)
    left = 0.0
    for panel in panels:
        height_mm, width_mm = panel.size_mm
        axes = figure.add_axes((left / sum(widths), 0, width_mm / sum(widths), height_mm / max(heights)))
        left += width_mm
        _draw_ct(axes, panel)
        if errors_of is None:
            _outline(axes, panel.prediction > 0, panel.pixel_mm, palette.KIDNEY, "solid")
            _outline(axes, panel.prediction > 1, panel.pixel_mm, palette.TUMOR, "solid")
            if panel.reference is not None:
                _outline(axes, panel.reference > 0, panel.pixel_mm, palette.REFERENCE, "dashed")
                _outline(axes, panel.reference > 1, panel.pixel_mm, palette.REFERENCE, "dotted")
        elif panel.reference is not None:
            _draw_errors(axes, panel, panel.prediction > errors_of, panel.reference > errors_of)
    return _encoded(figure, file_format)


def draw_surfaces(labels: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, bytes]:
    """Draw the surfaces of kidneys and tumors from four sides; kidneys are translucent.

    Returns:
        {title: JPEG}; empty if there is no kidney.
    """
    from matplotlib.colors import LightSource, to_rgba
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    box = bounding_box(labels)
    if box is None:
        return {}
    kidney, tumor = (_triangles(labels[box] > label, spacing_mm) for label in (0, 1))
    colors = np.repeat([to_rgba(palette.KIDNEY, 0.35), to_rgba(palette.TUMOR, 1.0)], [len(kidney), len(tumor)], axis=0)
    triangles = np.concatenate([kidney, tumor])
    low, high = triangles.min(axis=(0, 1)), triangles.max(axis=(0, 1))
    drawn = {}
    for title, azimuth in SURFACE_VIEWS.items():
        figure = _figure(420, 420)
        axes: Any = figure.add_axes((0, 0, 1, 1), projection="3d", facecolor=palette.BACKGROUND)
        light = LightSource(azdeg=-azimuth - 30, altdeg=45)
        collection = Poly3DCollection(triangles, facecolors=colors, lightsource=light, shade=True, antialiased=False)
        axes.add_collection3d(collection)
        for set_limits, start, stop in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), low, high, strict=True):
            set_limits(start, stop)
        axes.set_box_aspect(high - low)
        axes.view_init(elev=0, azim=azimuth)
        axes.set_axis_off()
        drawn[title] = _encoded(figure, "jpeg")
    return drawn


def draw_figure1(scenes: Mapping[str, Scene]) -> bytes:
    """Draw the paper's Figure 1: CT, reference and prediction side by side, kidney grey and tumor white.

    Each case has a row: the axial slice in which its reference's tumor or, without one, its kidney is largest.

    Returns:
        The bytes of a PNG.
    """
    rows = {case: figure1_row(scene) for case, scene in scenes.items()}
    heights = [
        300 * row[0].shape[0] * scene.spacing_mm[1] / (row[0].shape[1] * scene.spacing_mm[2])
        for row, scene in zip(rows.values(), scenes.values(), strict=True)
    ]
    figure = _figure(940, sum(heights) + 30)
    grid = figure.subplots(len(rows), 3, squeeze=False, height_ratios=heights)
    figure.subplots_adjust(
        left=40 / 940, right=1, bottom=0, top=1 - 30 / (sum(heights) + 30), wspace=0.02, hspace=0.02
    )
    for line, (case, pictures) in zip(grid, rows.items(), strict=True):
        for axes, picture, limits in zip(line, pictures, (WINDOW_HU, (0, 2), (0, 2)), strict=True):
            axes.imshow(picture, cmap="gray", vmin=limits[0], vmax=limits[1], aspect="auto", interpolation="nearest")
            axes.set_axis_off()
        line[0].text(-0.03, 0.5, case, rotation=90, ha="right", va="center", transform=line[0].transAxes, color="w")
    for axes, title in zip(grid[0], ("data", "reference", "prediction"), strict=True):
        axes.set_title(title, color=palette.TEXT, fontsize=12)
    return _encoded(figure, "png")


def figure1_row(scene: Scene) -> list[np.ndarray]:
    """Return a row of `draw_figure1`: HU, reference and prediction of one slice, cropped to the body."""
    assert scene.reference is not None
    cut = largest_cross_sections(scene.reference > int((scene.reference > 1).any()))[0]
    box = shown_box(scene)[1:]
    return [volume[cut][box] for volume in (scene.hu, scene.reference, scene.prediction)]


def _panel(scene: Scene, axis: int, cut: int, box: Box) -> Panel:
    plane = list(EDGES)[axis]
    title = f"{plane}, slice {scene.grid.file_index(axis, cut) if scene.grid else cut}"
    if scene.grid and scene.grid.instances and axis == 0:
        title += f", image {scene.grid.instances[cut]}"
    index = tuple(cut if other == axis else box[other] for other in range(3))
    return Panel(
        title=title,
        edges=EDGES[plane],
        hu=scene.hu[index],
        prediction=scene.prediction[index],
        reference=None if scene.reference is None else scene.reference[index],
        pixel_mm=tuple(side for other, side in enumerate(scene.spacing_mm) if other != axis),
    )


def shown_box(scene: Scene) -> Box:
    """Return the box of the body in-plane, and of the slices around kidneys and tumors."""
    _, rows, columns = body_box(scene.hu, scene.spacing_mm).slices
    found = bounding_box(scene.labels)
    if found is None:
        return slice(None), rows, columns
    margin = round(_ALONG_SLICES_MM / scene.spacing_mm[0])
    slices, *inplane = enlarged(found, (margin, 0, 0), scene.hu.shape)
    joined = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip((rows, columns), inplane, strict=True))
    return slices, *joined


def _figure(width_pixels: float, height_pixels: float) -> Figure:
    """Return an empty black figure, independent of pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_pixels / _DPI, height_pixels / _DPI), dpi=_DPI, facecolor=palette.BACKGROUND)


def _encoded(figure: Figure, file_format: str) -> bytes:
    """Return a figure as the bytes of a JPEG or PNG."""
    picture = io.BytesIO()
    # Full color resolution, or thin outlines would fade.
    options = {"quality": 88, "subsampling": 0, "optimize": True} if file_format == "jpeg" else {}
    figure.savefig(picture, format=file_format, facecolor=palette.BACKGROUND, pil_kwargs=options)
    return picture.getvalue()


def _draw_ct(axes: Any, panel: Panel) -> None:
    """Draw a panel's CT and the letters at its edges."""
    height_mm, width_mm = panel.size_mm
    low, high = WINDOW_HU
    extent = (0, width_mm, height_mm, 0)
    axes.imshow(panel.hu, cmap="gray", vmin=low, vmax=high, extent=extent, aspect="auto", interpolation="bilinear")
    axes.set_axis_off()
    sides = ((0.01, 0.5, "left", "center"), (0.99, 0.5, "right", "center"))
    ends = ((0.5, 0.99, "center", "top"), (0.5, 0.01, "center", "bottom"))
    for letter, (x, y, horizontal, vertical) in zip(panel.edges, sides + ends, strict=True):
        style: dict[str, Any] = {"ha": horizontal, "va": vertical, "color": palette.TEXT, "fontsize": 13}
        axes.text(x, y, letter, transform=axes.transAxes, path_effects=_dark_rim(1), **style)


def _draw_errors(axes: Any, panel: Panel, prediction: np.ndarray, reference: np.ndarray) -> None:
    """Fill missed and extra areas, and draw the outline of the reference."""
    from matplotlib.colors import to_rgba

    areas = np.zeros((*prediction.shape, 4))
    areas[reference & ~prediction] = to_rgba(palette.MISSED, 0.8)
    areas[prediction & ~reference] = to_rgba(palette.EXTRA, 0.8)
    height_mm, width_mm = panel.size_mm
    axes.imshow(areas, extent=(0, width_mm, height_mm, 0), aspect="auto", interpolation="nearest")
    _outline(axes, reference, panel.pixel_mm, palette.REFERENCE, "dashed")


def _outline(axes: Any, mask: np.ndarray, pixel_mm: Sequence[float], color: str, style: str) -> None:
    """Draw the outline of a mask [height, width], closed at the picture's edge too."""
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(np.float32)
    y, x = (
        (np.arange(size) - 0.5).clip(0, size - 2) * side for size, side in zip(padded.shape, pixel_mm, strict=True)
    )
    width = _LINE_WIDTHS[style]
    drawn = axes.contour(x, y, padded, levels=[0.5], colors=[color], linestyles=[style], linewidths=[width])
    drawn.set_path_effects(_dark_rim(width))


def _dark_rim(line_width: float) -> list[Any]:
    """Return a black edge around letters, or around lines of a width in points."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=line_width + _RIM, foreground=palette.BACKGROUND)]


def _triangles(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Return the surface of a mask as triangles [n, corners, (left, posterior, superior) mm], smoothed."""
    from skimage.measure import marching_cubes

    zoom = [min(1.0, side / _SURFACE_STEP_MM) for side in spacing_mm]
    field = ndimage.zoom(mask.astype(np.float32), zoom, order=1, mode="nearest", grid_mode=True)
    steps_mm = np.array(spacing_mm) * mask.shape / field.shape
    field = np.pad(ndimage.gaussian_filter(np.pad(field, 2), 1.6 / steps_mm), 1)
    if field.max() <= 0.5:
        return np.zeros((0, 3, 3))
    corners, faces, _, _ = marching_cubes(field, 0.5, spacing=tuple(steps_mm))
    return (corners[faces] * [-1, 1, 1])[..., ::-1]
