"""The page of one case: pictures, measurements, scores where there is a reference, and how it was computed."""

import numpy as np
from scipy import ndimage

from kits_tf.evaluation.lesions import MIN_TUMOR_ML, detect, measure, side_scores
from kits_tf.evaluation.matching import is_kidney_only
from kits_tf.evaluation.metrics import KIDNEY_METRICS, score
from kits_tf.laterality import bounding_box, box_within
from kits_tf.report import figures, layout, page, panels, provenance, surface3d
from kits_tf.report.score_tables import against_reference

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
        (HTML, facts): the page, and a dict of the numbers on it, for the index; None for those about tumors where
        these were not looked for.
    """
    case = panels.Case(volume.hu, volume.spacing_mm, prediction, reference)
    measured = measure(prediction, volume.spacing_mm)
    with_tumors = not is_kidney_only(summary or {}, prediction)
    if not with_tumors:
        measured |= {"tumor_ml": None, "tumors": None}
    facts = measured | {"scores": None}
    parts = [
        page.heading(name, describe(volume)),
        overview(case, measured),
        page.section("Measurements", measurements(measured, volume.hu, prediction)),
    ]
    if reference is not None:
        found = compare(prediction, reference, volume.spacing_mm)
        facts |= found if with_tumors else kidneys_alone(found)
        tables = against_reference(facts["scores"], measured, facts["reference"], facts["detection"], facts["sides"])
        parts += [page.section("Against the reference", tables), error_section(case, with_tumors)]
    parts += surface_sections(case, with_tumors)
    parts += tumor_sections(case, measured["tumors"]) if with_tumors else []
    parts.append(page.section("How it was computed", provenance.table(summary)))
    return page.document(f"{name}: kidney and kidney tumor", "".join(parts)), facts


def compare(prediction, reference, spacing_mm):
    """How a prediction stands against its reference.

    Returns:
        Dict of "reference" as `measure` gives it, "scores" as `score`, "detection" as `detect` and "sides" as
        `side_scores`.
    """
    return {
        "reference": measure(reference, spacing_mm),
        "scores": score(prediction, reference, spacing_mm),
        "detection": detect(prediction, reference, spacing_mm),
        "sides": side_scores(prediction, reference, spacing_mm),
    }


def kidneys_alone(found):
    """What `compare` gave, with None instead of what is about tumors, which were not looked for."""
    return found | {
        "scores": {metric: value if metric in KIDNEY_METRICS else None for metric, value in found["scores"].items()},
        "detection": None,
        "sides": {side: scores and scores | {"tumor_dice": None} for side, scores in found["sides"].items()},
    }


def describe(volume):
    """A CT in a line."""
    shape = " x ".join(map(str, volume.shape))
    spacing = " x ".join(f"{side:.3g}" for side in volume.spacing_mm)
    return f"CT of {shape} voxels (slices, rows, columns) at {spacing} mm"


def overview(case, measured):
    """The section with the three planes."""
    rows = [layout.columns(panels.views(case, 0))]
    said = "largest cross-sections of the kidneys"
    if (case.shown > 1).any():
        rows.append(layout.columns(panels.views(case, 1)))
        said += " (above) and of the tumor (below)"
    caption = (
        f"Axial, coronal and sagittal planes through the {said}. Radiological view: the patient's right (R) is on the "
        f"left. Soft-tissue window {figures.WINDOW_HU[0]:.0f} to {figures.WINDOW_HU[1]:.0f} HU."
    )
    with_tumors = measured["tumor_ml"] is not None
    tumor = f"tumor {measured['tumor_ml']:.0f} ml" if with_tumors else "tumors not looked for"
    said = f"CT with outlines: kidney {measured['kidney_ml']:.0f} ml, {tumor}"
    drawn = figures.draw(rows, file_format="jpeg", with_tumors=with_tumors)
    return page.section("Overview", page.picture(drawn, said, caption))


def measurements(measured, hu, labels):
    """Tables of volumes, tumors and HU."""
    with_tumors = measured["tumors"] is not None
    volumes = [[f"{kidney['side']} kidney with tumor", f"{kidney['volume_ml']:.1f}"] for kidney in measured["kidneys"]]
    volumes.append(["both kidneys with tumor", f"{measured['kidney_ml']:.1f}"])
    volumes.append(["tumor", page.millilitres(measured["tumor_ml"])])
    tables = [page.table(["", "ml"], volumes, "Volumes")]
    if measured["tumors"]:
        rows = [
            [f"{number}, {tumor['side']}", f"{tumor['volume_ml']:.1f}", f"{tumor['max_axial_diameter_mm']:.1f}"]
            for number, tumor in enumerate(measured["tumors"], 1)
        ]
        tables.append(page.table(["tumor", "ml", "largest axial diameter, mm"], rows, "Tumors"))
    kidney = "kidney without tumor" if with_tumors else "kidney with tumor"
    attenuation = [
        [name, *(f"{value:.0f}" for value in (values.mean(), values.std(), *np.percentile(values, (5, 50, 95))))]
        for name, values in ((kidney, hu[labels == 1]), ("tumor", hu[labels == 2]))
        if values.size
    ]
    if attenuation:
        heads = ["", "mean", "s. d.", "5 %", "median", "95 %"]
        tables.append(page.table(heads, attenuation, "CT numbers, HU"))
    else:
        tables.append(f"<p>No kidney {'and no tumor ' if with_tumors else ''}was found.</p>")
    return f'<div class="tables">{"".join(tables)}</div><p class="note">{tumor_note(measured["tumors"])}</p>'


def tumor_note(tumors):
    """Which tumors are not listed or not shown; all, where `tumors` is None."""
    if tumors is None:
        return "Tumors were not looked for (--stage=kidney); what the kidneys hold of them counts as kidney."
    note = f"Tumors under {MIN_TUMOR_ML} ml count in the volume and are not listed."
    if len(tumors) > MAX_STRIPS:
        note += f" Slices are shown of the {MAX_STRIPS} largest."
    return note


def surface_sections(case, with_tumors=True):
    """The section with the three-dimensional views; none where nothing was found."""
    views = surface3d.views(case.prediction, case.spacing_mm)
    if not views:
        return []
    what = "kidney and tumor; tumor inside the kidney shines through" if with_tumors else "the kidneys"
    caption = f"Surfaces of {what}. Smoothed for the picture alone."
    said = f"Kidneys {'and tumors ' if with_tumors else ''}from four sides"
    drawn = figures.draw_surfaces(views, "jpeg", with_tumors)
    return [page.section("In three dimensions", page.picture(drawn, said, caption))]


def tumor_sections(case, tumors):
    """A strip of slices for each tumor, the largest first, and then for those of the reference that were missed.

    Args:
        case: a `panels.Case`.
        tumors: the prediction's, as `measure` lists them.
    """
    found = tumor_boxes(case.prediction == 2, case.spacing_mm)[:MAX_STRIPS]
    named = [(tumor_name(number, tumors[number - 1]), box) for number, box in enumerate(found, 1)]
    if case.reference is not None:
        missed = [
            box
            for box in tumor_boxes(case.reference == 2, case.spacing_mm)
            if not ((case.prediction[box] == 2) & (case.reference[box] == 2)).any()
        ]
        named += [("Tumor of the reference that was missed", box) for box in missed][:MAX_STRIPS]
    return [tumor_section(case, name, box) for name, box in named]


def tumor_name(number, tumor):
    """Such as "Tumor 1: left, 8.5 ml, 29.5 mm"."""
    return f"Tumor {number}: {tumor['side']}, {tumor['volume_ml']:.1f} ml, {tumor['max_axial_diameter_mm']:.1f} mm"


def tumor_section(case, name, box):
    """A strip of slices through one tumor."""
    strip = [[panel] for panel in panels.tumor_strip(case, box)]
    half = (len(strip) + 1) // 2
    rows = [strip[:half], strip[half:]] if len(strip) > 4 else [strip]
    caption = f"Axial slices from its first ({box[0].start}) to its last ({box[0].stop - 1})."
    return page.section(name, page.picture(figures.draw(rows, _INCHES_PER_MM, "jpeg"), f"{name}, in slices", caption))


def error_section(case, with_tumors=True):
    """What was missed and what was found too much, where each is most; in tumors where they were looked for."""
    rows = [(threshold, panels.error_views(case, threshold)) for threshold in ((0, 1) if with_tumors else (0,))]
    rows = [(threshold, layout.columns(planes)) for threshold, planes in rows if planes]
    if not rows:
        where = "" if with_tumors else " in kidney with tumor"
        return page.section("Errors", f"<p>None: prediction and reference are the same{where}.</p>")
    named = [("kidney with tumor", "tumor")[threshold] for threshold, _ in rows]
    caption = f"Planes with the most errors in {', below in '.join(named)}."
    drawn = figures.draw_errors(rows, "jpeg")
    return page.section("Errors", page.picture(drawn, "CT with errors as colored areas", caption))


def tumor_boxes(mask, spacing_mm):
    """Bounding boxes of the tumors that `measure` lists, in the same order."""
    around = bounding_box(mask)
    if around is None:
        return []
    components, _ = ndimage.label(mask[around], np.ones((3, 3, 3), bool))
    sizes = np.bincount(components.ravel())[1:] * float(np.prod(spacing_mm)) / 1000
    boxes = [box_within(around, box) for box in ndimage.find_objects(components)]
    return [boxes[number] for number in np.argsort(-sizes, kind="stable") if sizes[number] >= MIN_TUMOR_ML]
