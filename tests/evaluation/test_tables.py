"""Tables hold every metric, fit a terminal and say what is undefined."""

import pytest

from kits_tf.evaluation.metrics import METRICS, missing_scores
from kits_tf.evaluation.statistics import compare, score_frame, summarize
from kits_tf.evaluation.tables import comparison_text, detection_text, markdown_text, score_table, terminal_text


@pytest.fixture(scope="module")
def frame():
    wide = {"kidney_hd95_mm": 123.45, "tumor_hd95_mm": None, "tumor_volume_error_ml": -1234.56}
    return score_frame({f"case_{i:05d}": missing_scores() | wide | {"kidney_dice": i / 20} for i in range(20)})


def test_a_table_holds_cases_mean_spread_and_what_is_published(frame):
    table = score_table(frame, summarize(frame), published=True)
    assert list(table.columns) == list(METRICS)
    assert list(table.index[19:23]) == ["case_00019", "mean of 20", "median", "quartile 1"]
    assert list(table.index[-2:]) == ["paper", "winner"] and table.loc["paper", "tumor_dice"] == "0.7080"
    assert list(table.loc["mean of 20", ["kidney_dice", "tumor_hd95_mm"]]) == ["0.4750", "-"]
    without = score_table(frame, summarize(frame), published=False)
    assert "paper" not in without.index and "challenge" not in terminal_text(without, 20)
    assert markdown_text(table).startswith("|  | kidney Dice | tumor Dice |")


def test_what_is_printed_fits_a_terminal(frame):
    rates = {"tumors": 210, "found": 200, "false": 123, "false_per_case": 0.59}
    rates["by_size"] = {name: {"tumors": 110, "found": 100} for name in ("up to 40 mm", "40 to 70 mm", "over 70 mm")}
    texts = [terminal_text(score_table(frame, summarize(frame), True), 20), detection_text(rates)]
    texts.append(comparison_text(compare(frame, frame * 2), "others"))
    assert max(len(line) for text in texts for line in text.splitlines()) <= 100
    assert "tumors: none" in detection_text({"tumors": 0, "false": 1})


def test_a_probability_is_never_shown_as_zero(frame):
    better = frame.assign(kidney_dice=frame["kidney_dice"] + 0.5 + frame["kidney_dice"] / 100)
    lines = {
        line[:18].strip(): line.split() for line in comparison_text(compare(better, frame), "others").splitlines()
    }
    assert lines["kidney Dice"][-4:] == ["20", "0", "0", "<0.0001"]
    assert lines["tumor Dice"][-1] == "-" and lines["tumor HD95, mm"][-7:] == ["-"] * 7
