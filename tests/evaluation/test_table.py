"""Tables line up, hold every metric, and say what is undefined."""

from kits_tf.evaluation.metrics import METRICS, missing_scores
from kits_tf.evaluation.statistics import compare, summarize
from kits_tf.evaluation.table import HEADINGS, NAMES, comparison_table, table


def cases():
    return {f"case_{i:05d}": missing_scores() | {"kidney_dice": i / 20, "kits23_dice": 0.5} for i in range(20)}


def test_every_metric_has_a_column_and_each_column_one_edge():
    assert set(HEADINGS) == set(NAMES) == set(METRICS)
    lines = table(cases(), summarize(cases().values())).splitlines()
    end = lines[0].index("kidney") + len("kidney")
    for line in lines[2:22]:
        assert line[end - 6 : end] == f"{int(line[5:10]) / 20:.4f}"
    assert {len(line) for line in lines[:22]} == {len(lines[1])}
    assert "mean of 20" in lines[23]
    assert lines[23][: end + 1].split()[-1] == "0.4750"


def test_a_probability_is_never_shown_as_zero():
    better = {
        name: scores | {"kidney_dice": scores["kidney_dice"] + 0.5 + i / 100}
        for i, (name, scores) in enumerate(cases().items())
    }
    lines = comparison_table(compare(better, cases()), "others").splitlines()
    by_name = {line[: len(max(NAMES.values(), key=len))].strip(): line.split() for line in lines[2:]}
    assert by_name["kidney Dice"][-3:] == ["20", "0", "<0.0001"]
    assert by_name["tumor Dice"][-1] == "-" and by_name["tumor HD95, mm"][-4] == "-"
