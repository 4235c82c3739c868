"""The page of one case: pictures, measurements, scores where there is a reference, and how it was computed."""

import json

import numpy as np
from scipy import ndimage

from kits_tf.evaluation.measurements import MIN_TUMOR_ML, measure
from kits_tf.evaluation.metrics import METRICS, score
from kits_tf.evaluation.table import NAMES, shown
from kits_tf.report import figures, page, panels

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
        *tumor_sections(case),
    ]
    if scores is not None:
        parts.append(page.section("Against the reference", score_table(scores, measured, reference, volume)))
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
    return page.section("Overview", page.picture(figures.draw(rows), said, caption))


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
        [name, f"{values.mean():.0f}", f"{values.std():.0f}"]
        for name, values in (("kidney without tumor", hu[labels == 1]), ("tumor", hu[labels == 2]))
        if values.size
    ]
    if attenuation:
        tables.append(page.table(["", "mean", "s. d."], attenuation, "HU"))
    else:
        tables.append("<p>No kidney and no tumor was found.</p>")
    note = f"Tumors under {MIN_TUMOR_ML} ml count in the volume and are not listed."
    return f'<div class="tables">{"".join(tables)}</div><p class="lead">{note}</p>'


def tumor_sections(case):
    """A strip of slices for each tumor, the largest first."""
    sections = []
    for number, box in enumerate(tumor_boxes(case.prediction == 2, case.spacing_mm)[:MAX_STRIPS], 1):
        strip = panels.tumor_strip(case, box)
        half = (len(strip) + 1) // 2
        rows = [strip[:half], strip[half:]] if len(strip) > 4 else [strip]
        text = f"Tumor {number} from its first to its last slice"
        sections.append(page.section(f"Tumor {number}", page.picture(figures.draw(rows, _INCHES_PER_MM), text, text)))
    return sections


def tumor_boxes(mask, spacing_mm):
    """Bounding boxes of the tumors that `measure` lists, in the same order."""
    components, _ = ndimage.label(mask, np.ones((3, 3, 3), bool))
    sizes = np.bincount(components.ravel())[1:] * float(np.prod(spacing_mm)) / 1000
    boxes = ndimage.find_objects(components)
    return [boxes[number] for number in np.argsort(-sizes, kind="stable") if sizes[number] >= MIN_TUMOR_ML]


def score_table(scores, measured, reference, volume):
    """The scores of a case as a table, and the reference's own volumes."""
    truth = measure(reference, volume.spacing_mm)
    texts = shown(scores)
    rows = [[NAMES[metric], texts[metric]] for metric in METRICS]
    volumes = [
        [name, f"{measured[key]:.1f}", f"{truth[key]:.1f}"]
        for name, key in (("kidney with tumor", "kidney_ml"), ("tumor", "tumor_ml"))
    ]
    tables = [page.table(["", "score"], rows), page.table(["ml", "prediction", "reference"], volumes)]
    note = (
        "Kidney is scored with its tumor, as the challenge does. Surface Dice: the share of both surfaces within "
        "1.033 mm (kidney) or 1.150 mm (tumor) of the other. HD95: 95 % Hausdorff distance. Error: volume, prediction "
        "minus reference."
    )
    return f'<div class="tables">{"".join(tables)}</div><p class="lead">{note}</p>'


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
