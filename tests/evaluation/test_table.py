"""Tables line up, hold every metric, and say what is undefined."""

from kits_tf.evaluation.metrics import METRICS, missing_scores
from kits_tf.evaluation.statistics import compare, summarize
from kits_tf.evaluation.table import GROUPS, NAMES, comparison_table, detection_lines, table

COLUMNS = 100  # of a terminal; more are folded into a mess


def cases():
    return {f"case_{i:05d}": missing_scores() | {"kidney_dice": i / 20, "kits23_dice": 0.5} for i in range(20)}


def test_every_metric_has_a_column_and_each_column_one_edge():
    assert [metric for group in GROUPS.values() for metric in group] == list(METRICS) == list(NAMES)
    groups, heading, rule, *lines = table(cases(), summarize(cases().values())).splitlines()
    end = heading.index("kidney") + len("kidney")
    for line in lines[:20]:
        assert line[end - 6 : end] == f"{int(line[5:10]) / 20:.4f}"
    assert {len(line) for line in [heading, rule, *lines[:21]]} == {len(rule)}
    assert lines[20] == rule and lines[21].startswith("mean of 20")
    assert lines[21][: end + 1].split()[-1] == "0.4750"
    # "HD95, mm" stands in the middle over its two columns, "kidney" and "tumor"
    first = heading.index("kidney", heading.index("tumor", heading.index("kidney", end)))
    last = heading.index("tumor", first) + len("tumor")
    middle = groups.index("HD95, mm") + len("HD95, mm") / 2
    assert abs(middle - (first + last) / 2) <= 0.5


def test_what_is_printed_fits_a_terminal():
    wide = {"kidney_hd95_mm": 123.45, "tumor_hd95_mm": 123.45}
    wide |= {"kidney_volume_error_ml": -1234.56, "tumor_volume_error_ml": -1234.56}
    scores = {f"case_{i:05d}": missing_scores() | wide | {"kidney_dice": i / 20} for i in range(20)}
    rates = {"tumors": 210, "found": 200, "false": 123, "false_per_case": 0.59}
    rates["by_size"] = {name: {"tumors": 110, "found": 100} for name in ("up to 40 mm", "40 to 70 mm", "over 70 mm")}
    better = {name: case | {"kidney_hd95_mm": 0.0} for name, case in scores.items()}
    texts = [table(scores, summarize(scores.values())), detection_lines(rates)]
    texts.append(comparison_table(compare(better, scores), "others"))
    assert max(len(line) for text in texts for line in text.splitlines()) <= COLUMNS


def test_a_probability_is_never_shown_as_zero():
    better = {
        name: scores | {"kidney_dice": scores["kidney_dice"] + 0.5 + i / 100}
        for i, (name, scores) in enumerate(cases().items())
    }
    lines = comparison_table(compare(better, cases()), "others").splitlines()
    by_name = {line[: len(max(NAMES.values(), key=len))].strip(): line.split() for line in lines[2:]}
    assert by_name["kidney Dice"][-3:] == ["20", "0", "<0.0001"]
    assert by_name["tumor Dice"][-1] == "-" and by_name["tumor HD95, mm"][-4] == "-"
