"""HTML pages about predictions: one page per case and an index. Each is a single file that loads no others."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import importlib.util
import json
import os
import pathlib
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kits_tf import __version__, files, palette
from kits_tf.errors import UsageError
from kits_tf.evaluation import lesions, metrics
from kits_tf.evaluation.matching import is_kidney_only
from kits_tf.evaluation.statistics import score_frame
from kits_tf.evaluation.tables import format_score
from kits_tf.io.volume import Grid, Volume
from kits_tf.report import figures, interactive

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

_ICON = re.compile(r'<link rel="icon" href="(data:image/jpeg;base64,[\w+/=]+)">')
MAX_STRIPS = 4
"""Number of tumors shown in slices on a page; the table has all."""
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
# Entries of a sidecar that the page measures itself or shows elsewhere.
_ELSEWHERE = ("finding", "kidney_ml", "kidney_tissue_ml", "tumor_ml", "kidneys", "tumors", "notice")


@dataclasses.dataclass
class CasePage:
    """The page of a case: the variables of its template, and its row in the index."""

    name: str
    row: dict[str, Any]
    content: dict[str, Any]

    def html(self) -> str:
        """Return the page, without links to others; see `link`."""
        return _templates().get_template("case.html.j2").render(name=self.name, **self.content)


def require_libraries(flag: str) -> None:
    """Raise a UsageError for `flag` if a library of the extra `report` is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(flag, "needs matplotlib; install this package's extra `report`")


def build_case(
    name: str,
    volume: Volume,
    prediction: np.ndarray,
    reference: np.ndarray | None = None,
    sidecar: Mapping[str, Any] | None = None,
    viewer: bool = True,
) -> CasePage:
    """Measure, score and draw one case.

    Args:
        name: The case.
        volume: The CT.
        prediction: uint8 labels on the volume's axes.
        reference: uint8 labels of the same shape, or None.
        sidecar: JSON of kits-predict, or None.
        viewer: Whether to include the interactive viewer, which makes up most of the page's size.
    """
    sidecar = sidecar or {}
    scene = figures.Scene(volume.hu, volume.spacing_mm, prediction, reference, volume.grid)
    with_tumors = not is_kidney_only(sidecar, prediction)
    shape, spacing = _plain(list(volume.shape)), " x ".join(f"{side:.3g}" for side in volume.spacing_mm)
    measured = lesions.measure(prediction, volume.spacing_mm, grid=volume.grid)
    measured = measured if with_tumors else lesions.without_tumors(measured)
    targets = [scene.labels > 0] + [scene.labels > 1] * bool((scene.labels > 1).any())
    planes = [panel for target in targets for panel in figures.plane_panels(scene, target)]
    shown_tumors = _shown_tumors(scene, volume.voxel_ml) if with_tumors else []
    thumbnail = _source(figures.draw(planes[-3:-2], width_pixels=240))
    content: dict[str, Any] = {
        "lead": f"CT of {shape} voxels (slices, rows, columns) at {spacing} mm",
        "origin": _origin(sidecar),
        "finding": lesions.finding(measured),
        "thumbnail": thumbnail,
        "with_tumors": with_tumors,
        "notice": sidecar.get("notice"),
        "measured": measured,
        "volumes": _volume_rows(measured),
        "tumors": _tumor_table(measured["tumors"] or []),
        "file_axes": [volume.grid.file_axis(axis) for axis in range(3)],
        "attenuation": _attenuation(volume.hu, prediction, with_tumors),
        "viewer": interactive.viewer_data(scene, [_largest_place(one) for _, one in shown_tumors]) if viewer else None,
        "windows": interactive.WINDOWS,
        "targets": [title for title, _ in shown_tumors],
        "planes": [_picture(panel) for panel in planes],
        "surfaces": [
            {"source": _source(picture), "title": title, "width": 1}
            for title, picture in figures.draw_surfaces(prediction, volume.spacing_mm).items()
        ],
        "strips": [
            {"title": title, "pictures": [_picture(panel) for panel in figures.tumor_panels(scene, tumor.box)]}
            for title, tumor in shown_tumors
        ],
        "against": None,
        "sidecar": _sidecar_rows(sidecar),
    }
    row = index_row(page_file_name(name), {**sidecar, **measured}, thumbnail)
    if reference is not None:
        content["against"] = against = _against_reference(scene, volume.grid, with_tumors)
        row |= {"scores": against["scores"]}
        if with_tumors:
            row["finding"] += f"; {against['missed']} missed, {against['false']} false"
    return CasePage(name, row, content)


def index_row(page: str | None, measured: Mapping[str, Any], thumbnail: str = "") -> dict[str, Any]:
    """Return a case's row in the index.

    Args:
        page: File name of its page beside the index, or None.
        measured: Its sidecar, or the result of `lesions.measure`.
        thumbnail: Address of a picture; see also `thumbnail_of`.
    """
    tumor_ml, series = measured.get("tumor_ml"), measured.get("series") or {}
    named = [f"series {series['number']}"] if series.get("number") is not None else []
    named += [series["description"]] if series.get("description") else []
    return {
        "page": page,
        "thumbnail": thumbnail,
        "finding": lesions.finding(measured),
        "series": ", ".join(named),
        "notice": measured.get("notice"),
        "kidney_ml": f"{measured.get('kidney_ml', 0):.0f}",
        "tumor_ml": "-" if tumor_ml is None else f"{tumor_ml:.1f}",
        "scores": None,
    }


def write_index(
    path: pathlib.Path,
    rows: Mapping[str, Mapping[str, Any]],
    failed: Mapping[str, str],
    skipped: Sequence[str] = (),
) -> None:
    """Write the index of cases, and links between it and their pages.

    Args:
        path: The index file.
        rows: `index_row` by case; listed in this order or, with scores, lowest Dice first.
        failed: Reasons by case.
        skipped: Names of files that are not CTs.
    """
    files.update_text(path, index_html(rows, failed, skipped))
    link({case: path.with_name(rows[case]["page"]) for case in _order(rows) if rows[case]["page"]}, path.name)


def index_html(rows: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str], skipped: Sequence[str] = ()) -> str:
    """Return the page of `write_index`."""
    shown = ("kidney_dice", "tumor_dice")
    frame = _dices(rows)
    dices = {case: [format_score(metric, frame[metric][case]) for metric in shown] for case in rows}
    means = [format_score(metric, frame[metric].mean()) for metric in shown]
    is_scored = any(row["scores"] for row in rows.values())
    return _templates().get_template("index.html.j2").render(
        rows={case: rows[case] for case in _order(rows)}, dices=dices, means=means, is_scored=is_scored, failed=failed,
        skipped=skipped,
    )  # fmt: skip


def _dices(rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the scores of cases, missing where there are none."""
    return score_frame({case: row["scores"] or {} for case, row in rows.items()})


def _order(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the cases in the order of the index."""
    if not any(row["scores"] for row in rows.values()):
        return list(rows)
    frame = _dices(rows).rename_axis("case").reset_index()
    return frame.sort_values(["tumor_dice", "kidney_dice", "case"])["case"].tolist()


def link(pages: Mapping[str, pathlib.Path], index: str) -> None:
    """Write links to the index, and to the cases before and after it, into each of some pages {case: path}."""
    template = _templates().get_template("nav.html.j2")
    for previous, case, following in zip([None, *pages], pages, [*pages, None][1:], strict=False):
        links = template.render(index=index, pages=pages, previous=previous, following=following).strip()
        text = pages[case].read_text(encoding="utf-8")
        start, stop = text.find("<nav"), text.find("</nav>") + len("</nav>")
        if start >= 0 and text[start:stop] != links:  # pages of earlier versions have no element for links
            files.write_text(pages[case], text[:start] + links + text[stop:])


def thumbnail_of(page: pathlib.Path) -> str:
    """Return the address of the picture in the head of a page that `CasePage.html` wrote; "" if there is none."""
    try:
        with page.open(encoding="utf-8", errors="replace") as file:
            found = _ICON.search(file.read(2**17))
    except OSError:
        return ""
    return found[1] if found else ""


def page_file_name(name: str) -> str:
    """Return the file name of a case's page."""
    return f"{name}.html" if name.lower() != "index" else "index_case.html"


def _against_reference(scene: figures.Scene, grid: Grid, with_tumors: bool) -> dict[str, Any]:
    """Return scores, detected tumors and pictures of errors; a dash for what needs a tumor network, if none ran."""
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


def _shown_tumors(scene: figures.Scene, voxel_ml: float) -> list[tuple[str, lesions.Tumor]]:
    """Return the largest tumors with their titles, and tumors of the reference that were missed entirely."""
    found = lesions.find_tumors(scene.prediction, scene.spacing_mm, voxel_ml=voxel_ml)
    named = [
        (f"Tumor {i}: {one.side}, {one.volume_ml:.1f} ml, {one.max_axial_diameter_mm:.1f} mm", one)
        for i, one in enumerate(found, 1)
    ][:MAX_STRIPS]
    if scene.reference is not None:
        known = lesions.find_tumors(scene.reference, scene.spacing_mm, voxel_ml=voxel_ml)
        missed = [one for one in known if not (scene.prediction[one.box][one.mask] == 2).any()]
        named += [("Tumor of the reference that was missed", one) for one in missed[:MAX_STRIPS]]
    return named


def _largest_place(tumor: lesions.Tumor) -> tuple[int, ...]:
    """Return the (slice, row, column) in which a tumor is largest."""
    cuts = figures.largest_cross_sections(tumor.mask)
    return tuple(cut + side.start for cut, side in zip(cuts, tumor.box, strict=True))


def _volume_rows(measured: Mapping[str, Any]) -> list[list[str]]:
    """Return (name, kidney tissue, tumor, both) in ml for each side and in total; a dash if unknown."""
    rows = [
        [f"{one['side']} kidney", one["tissue_ml"], one["tumor_ml"], one["volume_ml"]] for one in measured["kidneys"]
    ]
    total = ["total", measured["kidney_tissue_ml"], measured["tumor_ml"], measured["kidney_ml"]]
    rest = total[3] - sum(row[3] for row in rows)
    if rest >= 0.05:  # shown with one decimal
        apart = [None if total[i] is None else total[i] - sum(row[i] for row in rows) for i in (1, 2, 3)]
        rows.append(["small pieces apart", *apart])
    return [[row[0], *("-" if ml is None else f"{ml:.1f}" for ml in row[1:])] for row in (*rows, total)]


def _tumor_table(tumors: Sequence[Mapping[str, Any]]) -> dict[str, list]:
    """Return {"heads", "rows"} of the table of tumors."""
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "ml": lambda tumor: f"{tumor['volume_ml']:.1f}",
        "axial diameter, mm": lambda tumor: f"{tumor['max_axial_diameter_mm']:.1f}",
        "slices": lambda tumor: "{} to {}".format(*tumor["slices"]),
        "images": lambda tumor: "{} to {}".format(*tumor["instances"]),
        "z, mm": lambda tumor: "{:.1f} to {:.1f}".format(*tumor["z_mm"]),
        "center R, A, S, mm": lambda tumor: "{:.1f}, {:.1f}, {:.1f}".format(*tumor["centroid_ras_mm"]),
    }
    if not any("instances" in tumor for tumor in tumors):
        del columns["images"]
    rows = [
        [f"{number}, {tumor['side']}", *(text(tumor) for text in columns.values())]
        for number, tumor in enumerate(tumors, 1)
    ]
    return {"heads": ["", *columns], "rows": rows}


def _origin(sidecar: Mapping[str, Any]) -> str:
    """Return version, weights and date of the segmentation; "" if they are not recorded."""
    if "version" not in sidecar:
        return ""
    parts = [f"Segmented by kits-tf {sidecar['version']}"]
    parts += [f"weights {sidecar['checkpoint']}"] if "checkpoint" in sidecar else []
    return ", ".join([*parts, str(sidecar.get("date", ""))[:10]]).rstrip(", ")


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
    if "series" in sidecar:  # without the UID, because pages may be passed on
        sidecar = {**sidecar, "series": {key: sidecar["series"].get(key) for key in ("number", "description")}}
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
    """Return a panel for the template; `width` divides a row among its pictures, so that their scales are equal."""
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
    # As bytes, since a file name may not be UTF-8.
    templates.filters["address"] = lambda name: urllib.parse.quote(os.fsencode(name))
    return templates
