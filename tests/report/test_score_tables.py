"""Scores stand where a reader looks for them, and what is undefined is a dash."""

import numpy as np

from kits_tf.report.case_page import compare
from kits_tf.report.score_tables import against_reference, score_table

SPACING_MM = (4.0, 2.0, 2.0)
EMPTY = {"kidney_ml": 0.0, "tumor_ml": 0.0, "tumors": []}


def labels():
    values = np.zeros((12, 30, 40), np.uint8)
    values[2:8, 5:25, 4:14] = values[2:8, 5:25, 26:36] = 1
    values[3:6, 8:14, 28:32] = 2
    return values


def rows(text):
    cells = text.replace(' class="text"', "").replace("</td>", "").split("<tr>")[2:]
    return [row.split("</tr>")[0].split("<td>")[1:] for row in cells]


def test_scores_by_structure():
    found = compare(labels(), labels(), SPACING_MM)
    table = rows(score_table(found["scores"], found["reference"], found["reference"]))
    volumes = ["38.4", "1.2", "", ""]
    assert table == [
        ["Dice", "1.0000", "1.0000", "1.0000", "1.0000"],
        ["surface Dice", "1.0000", "1.0000", "", "1.0000"],
        ["HD95, mm", "0.00", "0.00", "", ""],
        ["volume error, ml", "0.00", "0.00", "", ""],
        ["volume, ml", *volumes],
        ["reference, ml", *volumes],
    ]


def test_a_missed_tumor_and_undefined_distances():
    found = compare(labels() * 0, labels(), SPACING_MM)
    text = against_reference(found["scores"], EMPTY, found["reference"], found["detection"], found["sides"])
    assert ["HD95, mm", "-", "-", "", ""] in rows(text)
    assert '<td class="text">missed</td>' in text and "false:" not in text
    assert '<td class="text">right</td><td>0.0000</td><td>1.0000</td>' in text
