"""The page that lists all cases, those with the worst scores first; a click on a column's head sorts by it."""

from kits_tf.evaluation.metrics import METRICS
from kits_tf.evaluation.statistics import score_frame
from kits_tf.evaluation.tables import NAMES, format_score
from kits_tf.report import page

HOW_TO_SORT = "A click on a column's head sorts by it."
LEGEND = (
    f"{HOW_TO_SORT} Tumors: those predicted; missed: those of the reference that were not found; false: those "
    "predicted where the reference has none. Kidney: with its tumor. Surface Dice at 1.033 mm (kidney) and 1.150 mm "
    "(tumor). HD95: 95 % Hausdorff distance. Error: volume, prediction minus reference. A dash: undefined, left out "
    "of the mean."
)
NOT_LOOKED_FOR = "A dash under tumor or tumors: not looked for (--stage=kidney)."


def index_page(cases, failed):
    """Builds the index.

    Args:
        cases: {id: (file name, facts)}, facts as `case_page` gives them: None for what is about tumors that were not
            looked for.
        failed: {id: reason} of cases without a page.

    Returns:
        HTML.
    """
    scored = {name: facts["scores"] for name, (_, facts) in cases.items() if facts["scores"]}
    lead = f"{len(cases)} {'case' if len(cases) == 1 else 'cases'}"
    if scored:
        lead += ", the worst tumor and kidney Dice first"
    heads = ["case", "kidney, ml", "tumor, ml", "tumors"]
    heads += ["missed", "false", *(NAMES[metric] for metric in METRICS)] if scored else []
    rows = [_row(name, *cases[name], bool(scored)) for name in sorted(cases, key=lambda name: _badness(name, scored))]
    last = []
    if scored:
        texts = shown(dict(score_frame(scored).mean()))
        last.append([f"mean of {len(scored)}", *[""] * 5, *(texts[metric] for metric in METRICS)])
    parts = [page.heading("Kidney and kidney tumor", lead)]
    listed = f'<div class="wide">{page.table(heads, rows, last=last, sortable=True)}</div>'
    legend = LEGEND if scored else HOW_TO_SORT
    if any(facts["tumors"] is None for _, facts in cases.values()):
        legend += f" {NOT_LOOKED_FOR}"
    parts.append(page.section("Cases", listed, f'<p class="note">{legend}</p>'))
    if failed:
        parts.append(page.section("Cases without a page", page.table(["case", "reason"], list(failed.items()))))
    return page.document("Kidney and kidney tumor", "".join(parts), page.SORT)


def _row(name, file_name, facts, with_scores):
    looked_for = facts["tumors"] is not None
    tumors = [f"{facts['tumor_ml']:.1f}", str(len(facts["tumors"]))] if looked_for else ["-", "-"]
    cells = [page.link(file_name, name), f"{facts['kidney_ml']:.1f}", *tumors]
    if with_scores:
        cells += _scores(facts) if facts["scores"] else [""] * (2 + len(METRICS))
    return cells


def _scores(facts):
    """The tumors missed, the false ones, and all scores as text; a dash for what was not looked for."""
    found, texts = facts["detection"], shown(facts["scores"])
    if found is None:
        counts = ["-", "-"]
    else:
        counts = [str(sum(not tumor["found"] for tumor in found["tumors"])), str(len(found["false"]))]
    return [*counts, *(texts[metric] for metric in METRICS)]


def _badness(name, scored):
    """Sorts by tumor Dice, then kidney Dice, then name; cases without tumor Dice, then those without scores, last."""
    scores = scored.get(name)
    if scores is None:
        return (2, name)
    if scores["tumor_dice"] is None:
        return (1, scores["kidney_dice"], name)
    return (0, scores["tumor_dice"], scores["kidney_dice"], name)


def shown(scores):
    """Scores as text."""
    return {metric: format_score(metric, value) for metric, value in scores.items()}
