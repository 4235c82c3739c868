"""Scores as a table of text."""

from kits_tf.evaluation.metrics import CHALLENGE_WINNER, PAPER

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
    "kits23_dice": "KiTS23",
    "kits23_surface_dice": "KiTS23 surf",
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
    "kits23_dice": "KiTS23's mean Dice",
    "kits23_surface_dice": "KiTS23's mean surface Dice",
}
NOTE = """\
kidney: Dice of label > 0; tumor: Dice of label > 1; kidney only: Dice of label 1
surf: surface Dice at 1.033 mm (kidney) and 1.150 mm (tumor); HD95: 95 % Hausdorff distance in mm
ml: volume in ml, prediction minus reference; KiTS23: mean over its three classes, masses here being the tumor
-: undefined, left out of the mean
95 %: confidence interval of the mean, bootstrap over cases"""

SPREAD = {"median": "median", "q1": "1st quartile", "q3": "3rd quartile", "low": "95 % from", "high": "95 % to"}


def summary_rows(summary, count):
    """(name, scores) of the mean, its confidence interval, median and quartiles, and of what others published.

    Args:
        summary: as `statistics.summarize` gives it.
        count: cases.
    """

    def row_of(key):
        return {metric: values[key] for metric, values in summary.items()}

    rows = [(f"mean of {count}", row_of("mean"))]
    rows += [(name, row_of(key)) for key, name in SPREAD.items()] if count > 1 else []
    return [*rows, ("paper, 27 validation cases", PAPER), ("challenge winner, 90 cases", CHALLENGE_WINNER)]


def table(cases, summary):
    """The scores of all cases, their mean and spread, and beneath it the published ones.

    Args:
        cases: {id: scores}.
        summary: as `statistics.summarize` gives it.

    Returns:
        Lines of text, not ending in a newline.
    """
    below = summary_rows(summary, len(cases))
    width = max(len(name) for name in [*cases, *dict(below)])
    heading = row("", HEADINGS, width)
    rule = "-" * len(heading)
    below = [row(name, shown(scores), width) for name, scores in below]
    return "\n".join(
        [heading, rule, *(row(name, shown(scores), width) for name, scores in cases.items()), rule, *below, NOTE]
    )


def row(name, cells, width):
    """One line; `cells` maps metrics to text."""
    text = f"{name:<{width}}" + "".join(f"{cells.get(metric, ''):>{len(HEADINGS[metric]) + 2}}" for metric in HEADINGS)
    return text.rstrip()


def shown(scores):
    """Scores as text: four decimals for shares, two for millimetres and millilitres."""
    return {
        metric: "-" if value is None else f"{value:.4f}" if metric.endswith("dice") else f"{value:.2f}"
        for metric, value in scores.items()
    }


def detection_lines(rates):
    """What became of the tumors, in words.

    Args:
        rates: as `lesions.detection_rates` gives them.
    """
    if not rates["tumors"]:
        return f"tumors: none in the references, {rates['false']} false"
    sizes = [
        f"{name} {size['found']} of {size['tumors']}" for name, size in rates["by_size"].items() if size["tumors"]
    ]
    found = f"tumors found: {rates['found']} of {rates['tumors']} ({', '.join(sizes)})"
    return f"{found}; false: {rates['false']}, {rates['false_per_case']:.2f} a case"


def comparison_table(comparison, name):
    """A comparison of two prediction folders as text.

    Args:
        comparison: as `statistics.compare` gives it.
        name: of the other predictions.

    Returns:
        Lines of text, not ending in a newline.
    """
    heads = ("cases", "difference", "95 % from", "95 % to", "higher", "lower", "p")
    width = max(map(len, NAMES.values()))
    lines = [f"Minus {name}, case by case; p: Wilcoxon's signed-rank test, two-sided"]
    lines.append(" " * width + "".join(f"{head:>12}" for head in heads))
    for metric, found in comparison.items():
        numbers = [found["mean_difference"], found["low"], found["high"]]
        cells = [str(found["count"]), *("-" if number is None else f"{number:+.4f}" for number in numbers)]
        cells += ["-" if found[key] is None else str(found[key]) for key in ("higher", "lower")]
        cells.append(_probability(found["p"]))
        lines.append(f"{NAMES[metric]:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def _probability(p):
    """A p-value as text; never a zero."""
    return "-" if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}"
