"""Pages say what was found, missed and not looked for; names are text, whatever they contain."""

import html.parser
import os

import numpy as np
import pytest

from kits_tf import __version__, files
from kits_tf.io.volume import Volume
from kits_tf.report.pages import build_case, index_html, page_file_name, thumbnail_of, write_index

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
        ["volume, ml", "38.4", "1.2", "37.2", ""],
        ["reference, ml", "38.4", "1.2", "37.2", ""],
        ["", "kidney tissue", "tumor", "both"],
        ["right kidney", "19.2", "0.0", "19.2"],
        ["left kidney", "18.0", "1.2", "19.2"],
        ["total", "37.2", "1.2", "38.4"],
        ["1, left", "1.2", "13.4", "3 to 5", "-12.0 to -20.0", "-59.0, -21.0, -16.0"],
        ["kidney without tumor", "150", "0", "150", "150", "150"],
        ["left", "1.2", "13.4", "found"],
        ["right", "1.0000", "1.0000"],
    ):
        assert row in reader.rows, row
    assert reader.headings[:2] == ["Viewer", "Overview"] and reader.headings[-2].startswith("Tumor 1: left, 1.2 ml")
    assert "1 tumor found: left, 1.2 ml, 13.4 mm." in reader.text
    assert "prediction and reference are the same" in reader.text and "medical device" in reader.text
    assert __version__ in reader.text


def test_all_text_is_escaped_and_nothing_is_loaded(perfect):
    reader, _ = perfect
    assert reader.tags.count("script") == reader.tags.count("link") == 1  # the viewer; the icon, a picture within
    assert reader.text.count(NASTY) == 5  # title, heading, input, another key and its value
    assert all(address.startswith("data:") for address in reader.addresses)


def test_what_is_recorded_is_shown_under_readable_names():
    sidecar = {
        "engine": "openvino", "shape": [88, 512, 512], "seconds": {"read": 0.0651, "total": 2.9},
        "peak_memory_mb": 12289.3, "region_of_interest": ["left", "right"], "kidney_ml": 9,
        "version": "9", "date": "2026-01-02T03:04:05", "checkpoint": "w",
    }  # fmt: skip
    reader, _ = page_of(labels() * 0, sidecar=sidecar)
    assert reader.rows[-8:] == [
        ["voxels (slices, rows, columns)", "88 x 512 x 512"],
        ["weights", "w"],
        ["engine", "openvino"],
        ["time, s", "read 0.0651, total 2.9"],
        ["peak memory, MB", "12289"],
        ["region of interest", "left, right"],
        ["version", "9"],
        ["date", "2026-01-02T03:04:05"],
    ]
    assert "No kidney found." in reader.text
    assert "Segmented by kits-tf 9, weights w, 2026-01-02" in reader.text
    assert "Not recorded" in page_of(labels() * 0)[0].text


def test_tumors_that_were_not_looked_for_are_not_missed():
    reader, page = page_of(np.minimum(labels(), 1), labels(), KIDNEY_ONLY)
    for row in (
        ["total", "-", "-", "38.4"],
        ["volume, ml", "38.4", "not looked for", "", ""],
        ["Dice", "1.0000", "-", "-", "-"],
        ["left", "1.0000", "-"],
    ):
        assert row in reader.rows, row
    assert "Tumors were not looked for (--stage=kidney)" in reader.text
    assert "the same in kidney with tumor" in reader.text and "kidney without tumor" not in reader.text
    assert reader.headings == [
        "Viewer", "Overview", "Measurements", "Against the reference", "Errors", "In three dimensions",
        "How it was computed",
    ]  # fmt: skip
    assert (page.row["tumor_ml"], page.row["finding"]) == ("-", "tumors not looked for")
    assert page.row["scores"]["kidney_dice"] == 1.0 and page.row["scores"]["tumor_dice"] is None


@pytest.mark.parametrize("sidecar", [None, {"tumor_ml": 0.0, "tumors": []}])
def test_without_that_in_the_sidecar_a_tumor_was_missed(sidecar):
    reader, page = page_of(np.minimum(labels(), 1), labels(), sidecar)
    assert "not looked for" not in reader.text and ["left", "1.2", "13.4", "missed"] in reader.rows
    assert "Tumor of the reference that was missed" in reader.headings
    assert (page.row["finding"], page.row["scores"]["tumor_dice"]) == ("no tumor found; 1 missed, 0 false", 0.0)
    drawn = page_of(labels(), sidecar=KIDNEY_ONLY)[0]  # a tumor drawn by hand since
    assert ["total", "37.2", "1.2", "38.4"] in drawn.rows and "not looked for" not in drawn.text


def row(dice, page="a.html"):
    shown = {
        "page": page,
        "thumbnail": "data:,",
        "finding": "1 tumor found",
        "series": "",
        "notice": None,
        "kidney_ml": "300",
        "tumor_ml": "4.0",
    }
    return shown | {"scores": {"kidney_dice": 0.9, "tumor_dice": dice}}


def test_the_index_lists_the_worst_first_and_means_leave_out_what_is_undefined():
    rows = {"a": row(0.75), "b": row(None), "c": row(0.25)}
    reader = Reader(index_html(rows, {NASTY: "not a NIfTI file"}, ["notes.txt"]))
    assert [cells[1] for cells in reader.rows[1:4]] == ["c", "a", "b"]
    assert reader.rows[1][2:] == ["300", "4.0", "0.9000", "0.2500"]
    assert reader.rows[3][-1] == "-" and reader.rows[4][-2:] == ["0.9000", "0.5000"]
    assert reader.rows[-1] == [NASTY, "not a NIfTI file"] and reader.tags.count("script") == 1
    assert "3 cases, 1 failed, 1 skipped" in reader.text and "notes.txt" in reader.text


def test_without_scores_the_index_keeps_the_order_and_a_case_without_a_page_has_no_link():
    rows = {"b": row(0.5) | {"scores": None}, "a": row(0.5, page=None) | {"scores": None}}
    reader = Reader(index_html(rows, {}))
    assert [cells[1:] for cells in reader.rows[1:]] == [["b", "300", "4.0"], ["a", "300", "4.0"]]
    assert "Dice" not in reader.text and reader.addresses.count("a.html") == 2


def test_pages_are_linked_in_the_order_of_the_index_and_again_after_a_change(tmp_path):
    page = page_of(labels())[1]
    for names in (["a", "b", "c"], ["a", "c"]):
        rows = {}
        for name in names:
            page.name, rows[name] = name, row(0.5, f"{name}.html") | {"scores": None, "thumbnail": ""}
            files.write_text(tmp_path / f"{name}.html", page.html())
        write_index(tmp_path / "index.html", rows, {})
        links = [Reader((tmp_path / f"{name}.html").read_text()).addresses for name in names]
        links = [[one for one in found if not one.startswith("data:")] for found in links]
        assert [found[0] for found in links] == ["index.html"] * len(names)
        before, after = [[], *([f"{name}.html"] for name in names)], [*([f"{name}.html"] for name in names[1:]), []]
        assert [found[1:] for found in links] == [first + last for first, last in zip(before, after, strict=False)]
    assert thumbnail_of(tmp_path / "a.html") == page.content["thumbnail"] != ""
    assert thumbnail_of(tmp_path / "nothing.html") == thumbnail_of(tmp_path / "index.html") == ""


def test_a_name_that_is_not_utf8_has_a_page_and_a_link(tmp_path):
    name = os.fsdecode(b"niere_\xfc")
    volume = Volume(np.zeros((4, 10, 10), np.int16), SPACING_MM)
    files.write_text(tmp_path / f"{name}.html", build_case(name, volume, np.zeros(volume.shape, np.uint8)).html())
    assert "niere_" in (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    files.write_text(tmp_path / "index.html", index_html({name: row(0.5, page_file_name(name))}, {}))
    assert 'href="niere_%FC.html"' in (tmp_path / "index.html").read_text(encoding="utf-8")
