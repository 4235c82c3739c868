"""Tables of how a prediction stands against its reference."""

from kits_tf.evaluation.lesions import FOUND_SHARE
from kits_tf.report import page
from kits_tf.report.index_page import shown

NOTE = (
    "Kidney is scored with its tumor, as the challenge does. Surface Dice: the share of both surfaces within 1.033 mm "
    "(kidney) or 1.150 mm (tumor) of the other. HD95: 95 % Hausdorff distance. KiTS23: the mean over its classes. "
    f"A tumor is found where the prediction covers {FOUND_SHARE:.0%} of it; a predicted one is false where the "
    f"reference covers less than {FOUND_SHARE:.0%}. A dash: undefined."
)

NOT_LOOKED_FOR = "A dash also: a score that counts tumors, which were not looked for."

ROWS = (
    ("Dice", ("kidney_dice", "tumor_dice", "kidney_only_dice", "kits23_dice")),
    ("surface Dice", ("kidney_surface_dice", "tumor_surface_dice", None, "kits23_surface_dice")),
    ("HD95, mm", ("kidney_hd95_mm", "tumor_hd95_mm", None, None)),
    ("volume error, ml", ("kidney_volume_error_ml", "tumor_volume_error_ml", None, None)),
)
"""The names of rows, and what stands in the columns of `score_table`."""


def against_reference(scores, measured, truth, detection, sides):
    """All tables and the note that explains them, as HTML.

    Args:
        scores: as `metrics.score` gives them.
        measured: the prediction as `measurements.measure` gives it.
        truth: the reference, the same.
        detection: as `lesions.detect` gives it.
        sides: as `lesions.side_scores` gives them.

    What is about tumors is None where they were not looked for, `detection` as a whole.
    """
    tables = [score_table(scores, measured, truth), *detection_tables(detection), *side_tables(sides)]
    note = NOTE if measured["tumors"] is not None else f"{NOTE} {NOT_LOOKED_FOR}"
    return f'<div class="tables">{"".join(tables)}</div><p class="note">{note}</p>'


def score_table(scores, measured, truth):
    """The scores by structure, and the volumes that both have."""
    texts = shown(scores)
    rows = [[name, *("" if metric is None else texts[metric] for metric in metrics)] for name, metrics in ROWS]
    for name, labels in (("volume, ml", measured), ("reference, ml", truth)):
        rows.append([name, *(page.millilitres(labels[key]) for key in ("kidney_ml", "tumor_ml")), "", ""])
    return page.table(["", "kidney with tumor", "tumor", "kidney alone", "KiTS23"], rows, "Scores")


def detection_tables(detection):
    """The reference's tumors, found or missed, and the false ones; no table where there are none, or for None."""
    if detection is None:
        return []
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
    texts = {name: shown(scores) for name, scores in sides.items() if scores}
    rows = [[name, scores["kidney_dice"], scores["tumor_dice"]] for name, scores in texts.items()]
    return [page.table(["side", "kidney Dice", "tumor Dice"], rows, "Left and right")] if rows else []
