"""HTML pages on predictions: one page per case and an index. Each is one file that loads nothing."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import importlib.util
import json
import os
import pathlib
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kits_tf import __version__, files, palette
from kits_tf.errors import UsageError
from kits_tf.evaluation import lesions, metrics
from kits_tf.evaluation.matching import is_kidney_only
from kits_tf.evaluation.statistics import score_frame
from kits_tf.evaluation.tables import format_score
from kits_tf.io.volume import Grid, Volume
from kits_tf.report import figures

if TYPE_CHECKING:
    import jinja2

MAX_STRIPS = 4
"""Tumors shown in slices on one page; all are in the table."""
SCORE_ROWS = {
    "Dice": ("kidney_dice", "tumor_dice", "kidney_only_dice", "kits23_dice"),
    "surface Dice": ("kidney_surface_dice", "tumor_surface_dice", None, "kits23_surface_dice"),
    "HD95, mm": ("kidney_hd95_mm", "tumor_hd95_mm", None, None),
    "volume error, ml": ("kidney_volume_error_ml", "tumor_volume_error_ml", None, None),
}
SIDECAR_NAMES = {
    "input": "input",
    "shape": "voxels (slices, rows, columns)",
    "spacing_mm": "voxel size, mm",
    "checkpoint": "weights",
    "engine": "engine",
    "precision": "precision",
    "seconds": "time, s",
    "peak_memory_mb": "peak memory, MB",
}
_ELSEWHERE = ("kidney_ml", "tumor_ml", "kidneys", "tumors", "notice")  # of a sidecar; the page measures anew


@dataclasses.dataclass
class CasePage:
    """What the page of a case shows: the variables of its template; and its row in the index."""

    name: str
    row: dict[str, Any]
    content: dict[str, Any]

    def html(self, previous: str | None = None, following: str | None = None, has_index: bool = False) -> str:
        """Return the page, with links to the index, if there is one, and to the cases before and after it."""
        template = _templates().get_template("case.html.j2")
        links = {"previous": previous, "following": following, "has_index": has_index}
        return template.render(name=self.name, **links, **self.content)


def require_libraries(flag: str) -> None:
    """Raise a UsageError for `flag` if a library of the extra `report` is not installed."""
    for library in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(library) is None:
            raise UsageError(flag, f"needs {library}; install this package's extra `report`")


def write_case_page(
    path: pathlib.Path, name: str, volume: Volume, labels: np.ndarray, sidecar: Mapping[str, Any] | None = None
) -> None:
    """Write the page of one prediction without a reference; for the arguments see `build_case`."""
    files.write_text(path, build_case(name, volume, labels, sidecar=sidecar).html())


def build_case(
    name: str,
    volume: Volume,
    prediction: np.ndarray,
    reference: np.ndarray | None = None,
    sidecar: Mapping[str, Any] | None = None,
) -> CasePage:
    """Measure, score and draw one case.

    Args:
        name: The case.
        volume: The CT.
        prediction: uint8 labels on the volume's axes.
        reference: uint8 labels of the same shape, or None.
        sidecar: JSON of kits-predict, or None.
    """
    scene = figures.Scene(volume.hu, volume.spacing_mm, prediction, reference)
    with_tumors = not is_kidney_only(sidecar or {}, prediction)
    shape, spacing = _plain(list(volume.shape)), " x ".join(f"{side:.3g}" for side in volume.spacing_mm)
    measured = lesions.measure(prediction, volume.spacing_mm, grid=volume.grid)
    targets = [scene.labels > 0] + [scene.labels > 1] * bool((scene.labels > 1).any())
    planes = [panel for target in targets for panel in figures.plane_panels(scene, target)]
    thumbnail = figures.draw(planes[-3:-2], width_pixels=240)
    content = {
        "lead": f"CT of {shape} voxels (slices, rows, columns) at {spacing} mm",
        "with_tumors": with_tumors,
        "measured": measured,
        "attenuation": _attenuation(volume.hu, prediction, with_tumors),
        "planes": [_picture(panel) for panel in planes],
        "surfaces": [
            {"source": _source(picture), "title": title, "width": 1}
            for title, picture in figures.draw_surfaces(prediction, volume.spacing_mm).items()
        ],
        "strips": _tumor_strips(scene, volume.voxel_ml) if with_tumors else [],
        "against": None,
        "sidecar": _sidecar_rows(sidecar or {}),
        "notice": (sidecar or {}).get("notice"),
    }
    row = {
        "thumbnail": _source(thumbnail),
        "kidney_ml": f"{measured['kidney_ml']:.0f}",
        "tumor_ml": f"{measured['tumor_ml']:.1f}" if with_tumors else "-",
        "tumors": len(measured["tumors"]) if with_tumors else "-",
        "scores": None,
    }
    if reference is not None:
        content["against"] = against = _against_reference(scene, volume.grid, with_tumors)
        row |= {"scores": against["scores"], "missed": against["missed"], "false": against["false"]}
    return CasePage(name, row, content)


def index_html(rows: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]) -> str:
    """Return the index of cases {case: `CasePage.row`}, lowest Dice first, and of failures {case: reason}."""
    shown = ("kidney_dice", "tumor_dice")
    frame = score_frame({case: row["scores"] or {} for case, row in rows.items()})
    order = frame.rename_axis("case").reset_index().sort_values(["tumor_dice", "kidney_dice", "case"])["case"]
    is_scored = any(row["scores"] for row in rows.values())
    dices = {case: [format_score(metric, frame.loc[case, metric]) for metric in shown] for case in order}
    means = [format_score(metric, frame[metric].mean()) for metric in shown]
    template = _templates().get_template("index.html.j2")
    return template.render(
        rows={case: rows[case] for case in order}, dices=dices, means=means, is_scored=is_scored, failed=failed
    )


def page_file_name(name: str) -> str:
    """Return the file name of a case's page."""
    return f"{name}.html" if name.lower() != "index" else "index_case.html"


def _against_reference(scene: figures.Scene, grid: Grid, with_tumors: bool) -> dict[str, Any]:
    """Return scores, tumors found, and pictures of errors; tumor counts are None if no tumor network ran."""
    prediction, reference, spacing_mm = scene.prediction, scene.reference, scene.spacing_mm
    assert reference is not None
    voxel_ml = grid.voxel_ml
    scores = metrics.score(prediction, reference, spacing_mm, voxel_ml)
    if not with_tumors:
        scores = {metric: value if metric in metrics.KIDNEY_METRICS else None for metric, value in scores.items()}
    detection = lesions.detect(prediction, reference, spacing_mm, voxel_ml)
    missed = [tumor for tumor in detection["tumors"] if not tumor["found"]]
    tumors = [tumor | {"outcome": "found" if tumor["found"] else "missed"} for tumor in detection["tumors"]]
    tumors += [tumor | {"outcome": "false"} for tumor in detection["false"]]
    errors = []
    for label in range(2 if with_tumors else 1):
        wrong = (prediction > label) != (reference > label)
        if wrong.any():
            errors += [_picture(panel, label) for panel in figures.plane_panels(scene, wrong)]
    sides = lesions.side_scores(prediction, reference, spacing_mm)
    return {
        "scores": scores,
        "table": {
            name: ["" if metric is None else format_score(metric, scores[metric]) for metric in row]
            for name, row in SCORE_ROWS.items()
        },
        "reference": lesions.measure(reference, spacing_mm, grid=grid),
        "sides": {
            side: [f"{found['kidney_dice']:.4f}", f"{found['tumor_dice']:.4f}" if with_tumors else "-"]
            for side, found in sides.items()
            if found
        },
        "tumors": tumors if with_tumors else [],
        "missed": len(missed) if with_tumors else "-",
        "false": len(detection["false"]) if with_tumors else "-",
        "errors": errors,
    }


def _tumor_strips(scene: figures.Scene, voxel_ml: float) -> list[dict[str, Any]]:
    """Return slices through the largest tumors, and through those of the reference that were missed altogether."""
    found = lesions.find_tumors(scene.prediction, scene.spacing_mm, voxel_ml=voxel_ml)
    named = [
        (f"Tumor {i}: {one.side}, {one.volume_ml:.1f} ml, {one.max_axial_diameter_mm:.1f} mm", one)
        for i, one in enumerate(found, 1)
    ][:MAX_STRIPS]
    if scene.reference is not None:
        known = lesions.find_tumors(scene.reference, scene.spacing_mm, voxel_ml=voxel_ml)
        missed = [one for one in known if not (scene.prediction[one.box][one.mask] == 2).any()]
        named += [("Tumor of the reference that was missed", one) for one in missed[:MAX_STRIPS]]
    return [
        {"title": title, "pictures": [_picture(panel) for panel in figures.tumor_panels(scene, tumor.box)]}
        for title, tumor in named
    ]


def _attenuation(hu: np.ndarray, labels: np.ndarray, with_tumors: bool) -> dict[str, list[str]]:
    """Return mean, standard deviation, 5 %, median and 95 % of HU by structure."""
    kidney = "kidney without tumor" if with_tumors else "kidney with tumor"
    rows = {}
    for name, values in ((kidney, hu[labels == 1]), ("tumor", hu[labels == 2])):
        if values.size:
            numbers = (values.mean(), values.std(), *np.percentile(values, (5, 50, 95)))
            rows[name] = [f"{number:.0f}" for number in numbers]
    return rows


def _sidecar_rows(sidecar: Mapping[str, Any]) -> dict[str, str]:
    """Return the entries of a sidecar under readable names."""
    keys = [key for key in SIDECAR_NAMES if key in sidecar]
    keys += [key for key in sidecar if key not in SIDECAR_NAMES and key not in _ELSEWHERE and sidecar[key] != []]
    return {SIDECAR_NAMES.get(key, key.replace("_", " ")): _plain(sidecar[key]) for key in keys}


def _plain(value: Any) -> str:
    """Return a JSON value as readable text."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        numbers = all(isinstance(entry, int | float) for entry in value)
        return (" x " if numbers else ", ").join(map(_plain, value))
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return value if isinstance(value, str) else json.dumps(value)


def _picture(panel: figures.Panel, errors_of: int | None = None) -> dict[str, Any]:
    """Return a panel for the template; pictures in a row share its width by `width`, so that their scale is one."""
    return {"source": _source(figures.draw([panel], errors_of)), "title": panel.title, "width": panel.size_mm[1]}


def _source(jpeg: bytes) -> str:
    """Return a JPEG as the address of an image."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


@functools.cache
def _templates() -> jinja2.Environment:
    """Return the templates, which escape all text."""
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("kits_tf.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.globals |= {"palette": palette, "version": __version__}
    templates.filters["sha256"] = lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    # Bytes of the file system, since a name may not be UTF-8.
    templates.filters["page"] = lambda name: urllib.parse.quote(os.fsencode(page_file_name(name)))
    return templates
