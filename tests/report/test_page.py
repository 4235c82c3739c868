"""Pages stand alone and show names as text, whatever is in them."""

import html.parser

from kits_tf.report import page

NASTY = """<script>alert("x")</script>&'<img src=x onerror=alert(1)>"""


class Reader(html.parser.HTMLParser):
    """Collects tags, addresses and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for key, value in attributes if key in ("src", "href")]
        assert not any(key.startswith("on") for key, _ in attributes)

    def handle_data(self, data):
        self.text += data


def test_all_text_is_escaped():
    body = page.heading(NASTY, NASTY) + page.section(
        NASTY,
        page.table([NASTY], [[NASTY], [page.link(NASTY + ".html", NASTY)]], NASTY),
        page.picture(b"png", NASTY, NASTY),
    )
    reader = Reader(page.document(NASTY, body))
    assert "script" not in reader.tags
    assert reader.tags.count("img") == 1
    # title, heading, lead, section, caption, head, cell, link and the picture's caption
    assert reader.text.count(NASTY) == 9
    assert all(address.startswith(("data:", "%3Cscript")) for address in reader.addresses)


def test_a_sortable_table_keeps_its_last_rows_apart():
    text = page.table(["a", NASTY], [["1", NASTY]], last=[["mean", NASTY]], sortable=True)
    reader = Reader(page.document("t", text, page.SORT))
    assert reader.tags.count("button") == 2 and reader.tags.count("tfoot") == 1
    assert reader.tags.count("script") == 1
    assert "</script" not in page.SORT and "http" not in page.SORT


def test_numbers_stand_right_and_text_left():
    text = page.table(["", "score"], [["Dice", "-0.5"], ["HD95", "-"]])
    for cell in ('<td class="text">Dice</td><td>-0.5</td>', '<td class="text">HD95</td><td>-</td>'):
        assert cell in text
    assert "<thead>" in text and "<thead>" not in page.table([], [["a", "b"]])


def test_a_page_carries_its_warning_and_needs_nothing_else():
    reader = Reader(page.document("title", page.heading("title", "lead")))
    assert page.WARNING in reader.text
    assert "medical device" in page.WARNING
    assert not reader.addresses
    assert "link" not in reader.tags and "script" not in reader.tags
