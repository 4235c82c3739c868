"""The page of a case in which tumors were not looked for says so, and counts none as missing."""

import re

import numpy as np
import pytest

from kits_tf.io.volume import Volume
from kits_tf.report.case_page import case_page

pytest.importorskip("matplotlib")
SPACING_MM = (4.0, 2.0, 2.0)
KIDNEYS_ALONE = {"input": "ct", "kidney_ml": 38.4, "tumor_ml": None, "tumors": None}


def labels():
    """Two kidneys of 6 x 20 x 10 voxels of 0.016 ml, 19.2 ml each, one with 3 x 6 x 4 of tumor, 1.152 ml."""
    values = np.zeros((12, 30, 40), np.uint8)
    values[2:8, 5:25, 4:14] = values[2:8, 5:25, 26:36] = 1
    values[3:6, 8:14, 28:32] = 2
    return values


def page_of(prediction, reference=None, summary=None):
    volume = Volume(np.where(labels() > 0, 150, 30).astype(np.int16), SPACING_MM)
    return case_page("ct", volume, prediction, reference, summary)


def alternatives(text):
    return re.findall(r'alt="([^"]*)"', text)


def headings(text):
    return re.findall("<h2>(.*?)</h2>", text)


@pytest.fixture(scope="module")
def kidneys_alone():
    return page_of(np.minimum(labels(), 1), labels(), KIDNEYS_ALONE)


def test_tumors_not_looked_for_are_said_to_be(kidneys_alone):
    text, facts = kidneys_alone
    assert '<tr><td class="text">tumor</td><td class="text">not looked for</td></tr>' in text
    assert '<td class="text">volume, ml</td><td>38.4</td><td class="text">not looked for</td>' in text
    assert "Tumors were not looked for (--stage=kidney)" in text
    assert alternatives(text) == ["CT with outlines: kidney 38 ml, tumors not looked for", "Kidneys from four sides"]
    assert (facts["kidney_ml"], facts["tumor_ml"], facts["tumors"]) == (38.4, None, None)


def test_tumors_not_looked_for_are_no_failure(kidneys_alone):
    text, facts = kidneys_alone
    scores = {"kidney_dice": 1.0, "kidney_surface_dice": 1.0, "kidney_hd95_mm": 0.0, "kidney_volume_error_ml": 0.0}
    assert {metric: value for metric, value in facts["scores"].items() if value is not None} == scores
    assert facts["detection"] is None
    assert facts["sides"] == dict.fromkeys(("right", "left"), {"kidney_dice": 1.0, "tumor_dice": None})
    for row in (
        '<td class="text">Dice</td><td>1.0000</td><td>-</td><td>-</td><td>-</td>',
        '<td class="text">reference, ml</td><td>38.4</td><td>1.2</td>',
        '<td class="text">left</td><td>1.0000</td><td>-</td>',
    ):
        assert row in text, row
    assert "a score that counts tumors, which were not looked for" in text
    assert "prediction and reference are the same in kidney with tumor." in text
    assert headings(text) == [
        "Overview", "Measurements", "Against the reference", "Errors", "In three dimensions", "How it was computed"
    ]  # fmt: skip
    assert ">missed<" not in text and "tumor inside the kidney" not in text and "0.0 ml" not in text


def test_errors_of_kidneys_alone_are_shown_without_those_of_tumors():
    moved = np.roll(np.minimum(labels(), 1), 1, axis=1)
    text, _ = page_of(moved, labels(), KIDNEYS_ALONE)
    assert "Planes with the most errors in kidney with tumor." in text


def test_the_ct_numbers_of_kidneys_alone_include_their_tumors(kidneys_alone):
    row = '<td class="text">kidney with tumor</td><td>150</td>'
    assert row in kidneys_alone[0] and "kidney without tumor" not in kidneys_alone[0]
    text, _ = page_of(labels(), summary={"tumor_ml": 1.152})
    assert row not in text and "kidney without tumor" in text


def test_no_kidney_where_tumors_were_not_looked_for():
    text, facts = page_of(labels() * 0, summary=KIDNEYS_ALONE | {"kidney_ml": 0.0})
    assert "<p>No kidney was found.</p>" in text and facts["tumors"] is None
    assert "not looked for" in text


@pytest.mark.parametrize("summary", [None, {}, {"tumor_ml": 0.0, "tumors": []}])
def test_without_that_in_the_json_no_tumor_is_one_that_was_missed(summary):
    text, facts = page_of(np.minimum(labels(), 1), labels(), summary)
    assert "not looked for" not in text
    assert '<td class="text">missed</td>' in text and "Tumor of the reference that was missed" in headings(text)
    assert (facts["tumor_ml"], facts["tumors"], facts["scores"]["tumor_dice"]) == (0.0, [], 0.0)


def test_a_tumor_drawn_by_hand_since_is_shown():
    text, facts = page_of(labels(), summary=KIDNEYS_ALONE)
    assert facts["tumor_ml"] == 1.152 and "not looked for" not in text
    assert "Tumor 1: left, 1.2 ml" in text
