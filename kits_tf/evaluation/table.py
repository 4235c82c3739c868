"""Scores as a table of text."""

from kits_tf.evaluation.metrics import CHALLENGE_WINNER, PAPER

GROUPS = {
    "Dice": {"kidney_dice": "kidney", "tumor_dice": "tumor", "kidney_only_dice": "only"},
    "surface Dice": {"kidney_surface_dice": "kidney", "tumor_surface_dice": "tumor"},
    "HD95, mm": {"kidney_hd95_mm": "kidney", "tumor_hd95_mm": "tumor"},
    "error, ml": {"kidney_volume_error_ml": "kidney", "tumor_volume_error_ml": "tumor"},
    "KiTS23": {"kits23_dice": "Dice", "kits23_surface_dice": "surface"},
}
"""The columns of the terminal's table and their headings, under a heading for several; narrow, to fit 100 columns."""
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
Dice: kidney is label > 0, tumor is label > 1, only is kidney without tumor, label 1
surface Dice at 1.033 mm (kidney) and 1.150 mm (tumor); HD95: 95 % Hausdorff distance
error: volume of the prediction minus that of the reference
KiTS23: Dice and surface Dice, means over its three classes, masses here being the tumor
paper: its 27 validation cases; winner: the challenge winner, 90 cases
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
    return [*rows, ("paper", PAPER), ("winner", CHALLENGE_WINNER)]


def table(cases, summary):
    """The scores of all cases, their mean and spread, and beneath it the published ones.

    Args:
        cases: {id: scores}.
        summary: as `statistics.summarize` gives it.

    Returns:
        Lines of text, not ending in a newline.
    """
    metrics = {metric: head for group in GROUPS.values() for metric, head in group.items()}
    cells = [["", *metrics.values()]]
    for name, scores in [*cases.items(), *summary_rows(summary, len(cases))]:
        texts = shown(scores)
        cells.append([name, *(texts.get(metric, "") for metric in metrics)])
    starts = {next(iter(group)) for group in GROUPS.values()}
    widths = _widths(cells)
    gaps = [2 if metric in starts else 1 for metric in metrics]
    heading, *lines = _aligned(cells, widths, gaps)
    rule = "-" * (sum(widths) + sum(gaps))
    return "\n".join(
        [_group_line(widths, gaps), heading, rule, *lines[: len(cases)], rule, *lines[len(cases) :], NOTE]
    )


def _group_line(widths, gaps):
    """The headings of groups, each over the middle of its columns; `widths` has that of the names first."""
    line, column = " " * widths[0], 0
    for name, group in GROUPS.items():
        among = range(column, column + len(group))
        width = sum(widths[1 + i] + gaps[i] for i in among) - gaps[column]
        line += " " * gaps[column] + f"{name:^{width}}"
        column += len(group)
    return line.rstrip()


def _widths(rows):
    """The width of each column."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _aligned(rows, widths, gaps):
    """Rows of cells as lines: names to the left, the rest to the right, `gaps` before each but the names."""
    lines = []
    for name, *cells in rows:
        padded = (" " * gap + cell.rjust(width) for cell, width, gap in zip(cells, widths[1:], gaps, strict=True))
        lines.append((name.ljust(widths[0]) + "".join(padded)).rstrip())
    return lines


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
    return f"{found}\nfalse tumors: {rates['false']}, {rates['false_per_case']:.2f} a case"


def comparison_table(comparison, name):
    """A comparison of two prediction folders as text.

    Args:
        comparison: as `statistics.compare` gives it.
        name: of the other predictions.

    Returns:
        Lines of text, not ending in a newline.
    """
    rows = [["", "cases", "difference", "95 % from", "95 % to", "higher", "lower", "p"]]
    for metric, found in comparison.items():
        numbers = [found["mean_difference"], found["low"], found["high"]]
        cells = [str(found["count"]), *("-" if number is None else f"{number:+.4f}" for number in numbers)]
        cells += ["-" if found[key] is None else str(found[key]) for key in ("higher", "lower")]
        rows.append([NAMES[metric], *cells, _probability(found["p"])])
    head = f"Minus {name}, case by case; p: Wilcoxon's signed-rank test, two-sided"
    return "\n".join([head, *_aligned(rows, _widths(rows), [2] * 7)])


def _probability(p):
    """A p-value as text; never a zero."""
    return "-" if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}"
