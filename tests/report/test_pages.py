"""Pages say what was found, missed and not looked for; names are text, whatever they contain."""

import html.parser
import os

import numpy as np
import pytest

from kits_tf import __version__, files
from kits_tf.io.volume import Volume
from kits_tf.report.pages import build_case, index_html, write_case_page

pytest.importorskip("matplotlib")
SPACING_MM = (4.0, 2.0, 2.0)
KIDNEY_ONLY = {"input": "ct", "kidney_ml": 38.4, "tumor_ml": None, "tumors": None}
NASTY = """<script>alert("x")</script>&'<img src=x onerror=alert(1)>"""


class Reader(html.parser.HTMLParser):
    """Collects tags, addresses, headings, rows of cells and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.headings, self.rows, self.text = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for key, value in attributes if key in ("src", "href")]
        assert not any(key.startswith("on") for key, _ in attributes)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "h2":
            self.headings.append("")

    def handle_data(self, data):
        self.text += data
        tag = self.tags[-1] if self.tags else ""
        if tag in ("td", "th", "a", "button") and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()
        elif tag == "h2":
            self.headings[-1] += data.strip()


def labels():
    """Two kidneys of 6 x 20 x 10 voxels of 0.016 ml, 19.2 ml each, one with 3 x 6 x 4 of tumor, 1.152 ml."""
    values = np.zeros((12, 30, 40), np.uint8)
    values[2:8, 5:25, 4:14] = values[2:8, 5:25, 26:36] = 1
    values[3:6, 8:14, 28:32] = 2
    return values


def page_of(prediction, reference=None, sidecar=None, name="ct"):
    volume = Volume(np.where(labels() > 0, 150, 30).astype(np.int16), SPACING_MM)
    page = build_case(name, volume, prediction, reference, sidecar)
    return Reader(page.html()), page


@pytest.fixture(scope="module")
def perfect():
    return page_of(labels(), labels(), {"input": NASTY, NASTY: [NASTY]}, NASTY)


def test_scores_measurements_and_tumors_are_in_tables(perfect):
    reader, _ = perfect
    for row in (
        ["Dice", "1.0000", "1.0000", "1.0000", "1.0000"],
        ["HD95, mm", "0.00", "0.00", "", ""],
        ["volume error, ml", "0.0", "0.0", "", ""],
        ["reference, ml", "38.4", "1.2", "", ""],
        ["right kidney with tumor", "19.2"],
        ["kidney without tumor", "150", "0", "150", "150", "150"],
        ["left", "1.2", "13.4", "found"],
        ["right", "1.0000", "1.0000"],
    ):
        assert row in reader.rows, row
    assert reader.headings[0] == "Overview" and reader.headings[-2].startswith("Tumor 1: left, 1.2 ml")
    assert "prediction and reference are the same" in reader.text and "medical device" in reader.text
    assert __version__ in reader.text


def test_all_text_is_escaped_and_nothing_is_loaded(perfect):
    reader, _ = perfect
    assert "script" not in reader.tags and "link" not in reader.tags
    assert reader.text.count(NASTY) == 5  # title, heading, input, another key and its value
    assert all(address.startswith("data:") for address in reader.addresses)


def test_what_is_recorded_is_shown_under_readable_names():
    sidecar = {
        "engine": "openvino", "shape": [88, 512, 512], "seconds": {"read": 0.0651, "total": 2.9},
        "peak_memory_mb": 12289.3, "region_of_interest": ["left", "right"], "kidney_ml": 9,
    }  # fmt: skip
    reader, _ = page_of(labels() * 0, sidecar=sidecar)
    assert reader.rows[-5:] == [
        ["voxels (slices, rows, columns)", "88 x 512 x 512"],
        ["engine", "openvino"],
        ["time, s", "read 0.0651, total 2.9"],
        ["peak memory, MB", "12289"],
        ["region of interest", "left, right"],
    ]
    assert "No kidney was found" in reader.text and "No tumor was found" in reader.text
    assert "Not recorded" in page_of(labels() * 0)[0].text


def test_tumors_that_were_not_looked_for_are_not_missed():
    reader, page = page_of(np.minimum(labels(), 1), labels(), KIDNEY_ONLY)
    for row in (
        ["tumor", "not looked for"],
        ["volume, ml", "38.4", "not looked for", "", ""],
        ["Dice", "1.0000", "-", "-", "-"],
        ["left", "1.0000", "-"],
    ):
        assert row in reader.rows, row
    assert "Tumors were not looked for (--stage=kidney)" in reader.text
    assert "the same in kidney with tumor" in reader.text and "kidney without tumor" not in reader.text
    assert reader.headings == [
        "Overview", "Measurements", "Against the reference", "Errors", "In three dimensions", "How it was computed"
    ]  # fmt: skip
    assert (page.row["tumor_ml"], page.row["tumors"], page.row["missed"]) == ("-", "-", "-")
    assert page.row["scores"]["kidney_dice"] == 1.0 and page.row["scores"]["tumor_dice"] is None


@pytest.mark.parametrize("sidecar", [None, {"tumor_ml": 0.0, "tumors": []}])
def test_without_that_in_the_sidecar_a_tumor_was_missed(sidecar):
    reader, page = page_of(np.minimum(labels(), 1), labels(), sidecar)
    assert "not looked for" not in reader.text and ["left", "1.2", "13.4", "missed"] in reader.rows
    assert "Tumor of the reference that was missed" in reader.headings
    assert (page.row["tumors"], page.row["missed"], page.row["scores"]["tumor_dice"]) == (0, 1, 0.0)
    drawn = page_of(labels(), sidecar=KIDNEY_ONLY)[0]  # a tumor drawn by hand since
    assert ["tumor", "1.2"] in drawn.rows and "not looked for" not in drawn.text


def row(dice, missed=0):
    scores = {"kidney_dice": 0.9, "tumor_dice": dice}
    shown = {"thumbnail": "data:,", "kidney_ml": "300", "tumor_ml": "4.0", "tumors": 1}
    return shown | {"scores": scores, "missed": missed, "false": 0}


def test_the_index_lists_the_worst_first_and_means_leave_out_what_is_undefined():
    reader = Reader(index_html({"a": row(0.75), "b": row(None), "c": row(0.25, 1)}, {NASTY: "not a NIfTI file"}))
    assert [cells[1] for cells in reader.rows[1:4]] == ["c", "a", "b"]
    assert reader.rows[1][2:] == ["300", "4.0", "1", "1", "0", "0.9000", "0.2500"]
    assert reader.rows[3][-1] == "-" and reader.rows[4][-2:] == ["0.9000", "0.5000"]
    assert reader.rows[-1] == [NASTY, "not a NIfTI file"] and reader.tags.count("script") == 1
    plain = Reader(index_html({"a": row(0.5) | {"scores": None}}, {}))
    assert plain.rows[1][2:] == ["300", "4.0", "1"] and "Dice" not in plain.text


def test_a_name_that_is_not_utf8_has_a_page_and_a_link(tmp_path):
    name = os.fsdecode(b"niere_\xfc")
    volume = Volume(np.zeros((4, 10, 10), np.int16), SPACING_MM)
    write_case_page(tmp_path / f"{name}.html", name, volume, np.zeros(volume.shape, np.uint8))
    assert "niere_" in (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    files.write_text(tmp_path / "index.html", index_html({name: row(0.5)}, {}))
    assert 'href="niere_%FC.html"' in (tmp_path / "index.html").read_text(encoding="utf-8")
