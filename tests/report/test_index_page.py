"""The index leaves out what was not looked for, and sorts by what there is."""

import re

from kits_tf.evaluation.metrics import KIDNEY_METRICS, METRICS
from kits_tf.report.index_page import NOT_LOOKED_FOR, index_page

TUMOR = {"side": "left", "volume_ml": 4.0, "max_axial_diameter_mm": 20.0}


def facts(dice, tumors=True):
    """Those of a case of 300 ml with one tumor of 4 ml that was missed, every score `dice`; or of kidneys alone."""
    if tumors:
        detection = {"tumors": [TUMOR | {"covered": 0.0, "found": False}], "false": [TUMOR]}
        found = {"tumor_ml": 4.0, "tumors": [TUMOR], "detection": detection, "scores": dict.fromkeys(METRICS, dice)}
    else:
        scores = dict.fromkeys(METRICS) | dict.fromkeys(KIDNEY_METRICS, dice)
        found = {"tumor_ml": None, "tumors": None, "detection": None, "scores": scores}
    return {"kidney_ml": 300.0} | found


def rows(text):
    """{name: cells} of the table."""
    lines = re.findall("<tr>(<td.*?)</tr>", text)
    cells = [[re.sub("<.*?>", "", cell) for cell in line.split("</td>")[:-1]] for line in lines]
    return {name: rest for name, *rest in cells}


def cell(row, metric):
    return row[5 + METRICS.index(metric)]


def test_a_dash_stands_for_what_was_not_looked_for_and_the_mean_leaves_it_out():
    cases = {"a": facts(0.5), "b": facts(0.25, tumors=False), "c": facts(0.75)}
    text = index_page({name: (f"{name}.html", found) for name, found in cases.items()}, {})
    table = rows(text)
    assert list(table) == ["a", "c", "b", "mean of 3"]  # no tumor Dice comes behind the best
    assert table["a"][:5] == ["300.0", "4.0", "1", "1", "1"]
    assert table["b"][:5] == ["300.0", "-", "-", "-", "-"]
    assert [cell(table["b"], metric) for metric in ("kidney_dice", "tumor_dice", "kits23_dice")] == [
        "0.2500",
        "-",
        "-",
    ]
    mean = table["mean of 3"]
    assert (cell(mean, "kidney_dice"), cell(mean, "tumor_dice")) == ("0.5000", "0.6250")
    assert NOT_LOOKED_FOR in text


def test_kidneys_alone_without_references():
    alone = {"kidney_ml": 300.0, "tumor_ml": None, "tumors": None, "scores": None}
    text = index_page({"a": ("a.html", alone)}, {})
    assert rows(text) == {"a": ["300.0", "-", "-"]} and NOT_LOOKED_FOR in text


def test_nothing_is_said_where_all_tumors_were_looked_for():
    assert NOT_LOOKED_FOR not in index_page({"a": ("a.html", facts(0.5))}, {})
