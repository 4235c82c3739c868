"""Scores as a table of text."""

from kits_tf.evaluation.metrics import CHALLENGE_WINNER, METRICS, PAPER

HEADINGS = {
    "kidney_dice": "kidney",
    "tumor_dice": "tumor",
    "kidney_only_dice": "kidney only",
    "kidney_surface_dice": "kidney surf",
    "tumor_surface_dice": "tumor surf",
    "kidney_hd95_mm": "kidney HD95",
    "tumor_hd95_mm": "tumor HD95",
    "kidney_volume_error_ml": "kidney ml",
    "tumor_volume_error_ml": "tumor ml",
}
NAMES = {
    "kidney_dice": "kidney Dice",
    "tumor_dice": "tumor Dice",
    "kidney_only_dice": "Dice of kidney without tumor",
    "kidney_surface_dice": "kidney surface Dice",
    "tumor_surface_dice": "tumor surface Dice",
    "kidney_hd95_mm": "kidney HD95, mm",
    "tumor_hd95_mm": "tumor HD95, mm",
    "kidney_volume_error_ml": "kidney error, ml",
    "tumor_volume_error_ml": "tumor error, ml",
}
NOTE = """\
kidney: Dice of label > 0; tumor: Dice of label > 1; kidney only: Dice of label 1
surf: surface Dice at 1.033 mm (kidney) and 1.150 mm (tumor); HD95: 95 % Hausdorff distance in mm
ml: volume in ml, prediction minus reference; -: undefined, left out of the mean"""


def table(cases, mean):
    """The scores of all cases, their mean, and beneath it the published ones.

    Args:
        cases: {id: scores}.
        mean: the mean scores.

    Returns:
        Lines of text, not ending in a newline.
    """
    mean_name = f"mean of {len(cases)}"
    published = [("paper, 27 validation cases", PAPER), ("challenge winner, 90 cases", CHALLENGE_WINNER)]
    width = max(len(name) for name in [*cases, mean_name, *dict(published)])
    heading = row("", HEADINGS, width)
    rule = "-" * len(heading)
    below = [row(name, shown(scores), width) for name, scores in [(mean_name, mean), *published]]
    return "\n".join(
        [heading, rule, *(row(name, shown(scores), width) for name, scores in cases.items()), rule, *below, NOTE]
    )


def row(name, cells, width):
    """One line; `cells` maps metrics to text."""
    text = f"{name:<{width}}" + "".join(f"{cells.get(metric, ''):>{len(HEADINGS[metric]) + 2}}" for metric in METRICS)
    return text.rstrip()


def shown(scores):
    """Scores as text: four decimals for shares, two for millimetres and millilitres."""
    return {
        metric: "-" if value is None else f"{value:.4f}" if metric.endswith("dice") else f"{value:.2f}"
        for metric, value in scores.items()
    }
