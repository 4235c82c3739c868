"""The page of one case: pictures, measurements, scores where there is a reference, and how it was computed."""

import json

import numpy as np
from scipy import ndimage

from kits_tf.evaluation.lesions import detect, side_scores
from kits_tf.evaluation.measurements import MIN_TUMOR_ML, measure
from kits_tf.evaluation.metrics import METRICS, score
from kits_tf.evaluation.table import NAMES, shown
from kits_tf.report import figures, page, panels, surface3d

MAX_STRIPS = 4
"""Pictures of tumors on one page; further tumors are in the table alone."""

_INCHES_PER_MM = 0.034  # strips of small tumors are not blown up beyond this


def case_page(name, volume, prediction, reference=None, summary=None):
    """Builds the page of one case.

    Args:
        name: the case's id.
        volume: the CT, a `Volume`.
        prediction: uint8 labels on its working axes.
        reference: uint8 labels of the same shape, or None.
        summary: what kits-predict wrote beside the prediction, as a dict, or None.

    Returns:
        (HTML, facts): the page, and a dict of the numbers on it, for the index.
    """
    case = panels.Case(volume.hu, volume.spacing_mm, prediction, reference)
    measured = measure(prediction, volume.spacing_mm)
    scores = None if reference is None else score(prediction, reference, volume.spacing_mm)
    parts = [
        page.heading(name, describe(volume)),
        overview(case, measured),
        page.section("Measurements", measurements(measured, volume.hu, prediction)),
        *surface_sections(case),
        *tumor_sections(case),
    ]
    if scores is not None:
        parts.append(error_section(case))
        parts.append(
            page.section("Against the reference", score_table(scores, measured, prediction, reference, volume))
        )
    parts.append(page.section("How it was computed", provenance(summary)))
    return page.document(f"{name}: kidney and kidney tumor", "".join(parts)), {**measured, "scores": scores}


def describe(volume):
    """A CT in a line."""
    shape = " x ".join(map(str, volume.shape))
    spacing = " x ".join(f"{side:.3g}" for side in volume.spacing_mm)
    return f"CT of {shape} voxels (slices, rows, columns) at {spacing} mm"


def overview(case, measured):
    """The section with the three planes."""
    rows = [panels.views(case, 0)]
    said = "largest cross-sections of the kidneys"
    if (case.shown > 1).any():
        rows.append(panels.views(case, 1))
        said += " (above) and of the tumor (below)"
    caption = (
        f"Axial, coronal and sagittal planes through the {said}. Radiological view: the patient's right (R) is on the "
        f"left. Soft-tissue window {figures.WINDOW_HU[0]:.0f} to {figures.WINDOW_HU[1]:.0f} HU."
    )
    said = f"CT with outlines: kidney {measured['kidney_ml']:.0f} ml, tumor {measured['tumor_ml']:.0f} ml"
    return page.section("Overview", page.picture(figures.draw(rows, file_format="jpeg"), said, caption))


def measurements(measured, hu, labels):
    """Tables of volumes, tumors and HU."""
    volumes = [[f"{kidney['side']} kidney with tumor", f"{kidney['volume_ml']:.1f}"] for kidney in measured["kidneys"]]
    volumes.append(["both kidneys with tumor", f"{measured['kidney_ml']:.1f}"])
    volumes.append(["tumor", f"{measured['tumor_ml']:.1f}"])
    tables = [page.table(["", "ml"], volumes, "Volumes")]
    if measured["tumors"]:
        rows = [
            [f"{number}, {tumor['side']}", f"{tumor['volume_ml']:.1f}", f"{tumor['max_axial_diameter_mm']:.1f}"]
            for number, tumor in enumerate(measured["tumors"], 1)
        ]
        tables.append(page.table(["tumor", "ml", "largest axial diameter, mm"], rows, "Tumors"))
    attenuation = [
        [name, *(f"{value:.0f}" for value in (values.mean(), values.std(), *np.percentile(values, (5, 50, 95))))]
        for name, values in (("kidney without tumor", hu[labels == 1]), ("tumor", hu[labels == 2]))
        if values.size
    ]
    if attenuation:
        tables.append(page.table(["", "mean", "s. d.", "5 %", "median", "95 %"], attenuation, "HU"))
    else:
        tables.append("<p>No kidney and no tumor was found.</p>")
    note = f"Tumors under {MIN_TUMOR_ML} ml count in the volume and are not listed."
    return f'<div class="tables">{"".join(tables)}</div><p class="lead">{note}</p>'


def surface_sections(case):
    """The section with the three-dimensional views; none where nothing was found."""
    views = surface3d.views(case.prediction, case.spacing_mm)
    if not views:
        return []
    caption = "Surfaces of kidney and tumor; tumor inside the kidney shines through. Smoothed for the picture alone."
    drawn = figures.draw_surfaces(views, "jpeg")
    return [page.section("In three dimensions", page.picture(drawn, "Kidneys and tumors from four sides", caption))]


def tumor_sections(case):
    """A strip of slices for each tumor, the largest first, and then for those of the reference that were missed."""
    found = tumor_boxes(case.prediction == 2, case.spacing_mm)
    named = [(f"Tumor {number}", box) for number, box in enumerate(found, 1)][:MAX_STRIPS]
    if case.reference is not None:
        missed = [
            box
            for box in tumor_boxes(case.reference == 2, case.spacing_mm)
            if not ((case.prediction[box] == 2) & (case.reference[box] == 2)).any()
        ]
        named += [("Tumor of the reference that was missed", box) for box in missed][:MAX_STRIPS]
    return [tumor_section(case, name, box) for name, box in named]


def tumor_section(case, name, box):
    """A strip of slices through one tumor."""
    strip = panels.tumor_strip(case, box)
    half = (len(strip) + 1) // 2
    rows = [strip[:half], strip[half:]] if len(strip) > 4 else [strip]
    text = f"{name} from its first to its last slice"
    return page.section(name, page.picture(figures.draw(rows, _INCHES_PER_MM, "jpeg"), text, text))


def error_section(case):
    """What was missed and what was found too much, where each is most."""
    rows = [(threshold, panels.error_views(case, threshold)) for threshold in (0, 1)]
    rows = [(threshold, row) for threshold, row in rows if row]
    if not rows:
        return page.section("Errors", "<p>None: prediction and reference are the same.</p>")
    named = [("kidney with tumor", "tumor")[threshold] for threshold, _ in rows]
    caption = f"Planes with the most errors in {', below in '.join(named)}."
    drawn = figures.draw_errors(rows, "jpeg")
    return page.section("Errors", page.picture(drawn, "CT with errors as colored areas", caption))


def tumor_boxes(mask, spacing_mm):
    """Bounding boxes of the tumors that `measure` lists, in the same order."""
    components, _ = ndimage.label(mask, np.ones((3, 3, 3), bool))
    sizes = np.bincount(components.ravel())[1:] * float(np.prod(spacing_mm)) / 1000
    boxes = ndimage.find_objects(components)
    return [boxes[number] for number in np.argsort(-sizes, kind="stable") if sizes[number] >= MIN_TUMOR_ML]


def score_table(scores, measured, labels, reference, volume):
    """The scores of a case as a table, and the reference's own volumes."""
    truth = measure(reference, volume.spacing_mm)
    texts = shown(scores)
    rows = [[NAMES[metric], texts[metric]] for metric in METRICS]
    volumes = [
        [name, f"{measured[key]:.1f}", f"{truth[key]:.1f}"]
        for name, key in (("kidney with tumor", "kidney_ml"), ("tumor", "tumor_ml"))
    ]
    tables = [page.table(["", "score"], rows), page.table(["ml", "prediction", "reference"], volumes)]
    tables += detection_tables(detect(labels, reference, volume.spacing_mm))
    tables += side_tables(side_scores(labels, reference, volume.spacing_mm))
    note = (
        "Kidney is scored with its tumor, as the challenge does. Surface Dice: the share of both surfaces within "
        "1.033 mm (kidney) or 1.150 mm (tumor) of the other. HD95: 95 % Hausdorff distance. Error: volume, prediction "
        "minus reference."
    )
    return f'<div class="tables">{"".join(tables)}</div><p class="lead">{note}</p>'


def detection_tables(detection):
    """The reference's tumors, found or missed, and the false ones; no table where there are none."""
    rows = [
        [tumor["side"], f"{tumor['volume_ml']:.1f}", f"{tumor['max_axial_diameter_mm']:.1f}", said]
        for tumor, said in [
            *((tumor, "found" if tumor["found"] else "missed") for tumor in detection["tumors"]),
            *((tumor, "false: not in the reference") for tumor in detection["false"]),
        ]
    ]
    return [page.table(["tumor", "ml", "diameter, mm", ""], rows, "Tumors, one by one")] if rows else []


def side_tables(sides):
    """Dice of each side's kidney and tumor."""
    rows = [
        [name, *(f"{scores[f'{structure}_dice']:.4f}" for structure in ("kidney", "tumor"))]
        for name, scores in sides.items()
        if scores
    ]
    return [page.table(["side", "kidney Dice", "tumor Dice"], rows, "Left and right")] if rows else []


def provenance(summary):
    """What kits-predict recorded beside the prediction, as a table."""
    if not summary:
        return "<p>Not recorded: no JSON lies beside the prediction.</p>"
    measured = ("kidney_ml", "tumor_ml", "kidneys", "tumors")
    return page.table(["", ""], [[key, plain(value)] for key, value in summary.items() if key not in measured])


def plain(value):
    """A JSON value as readable text."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return value if isinstance(value, str) else json.dumps(value)
