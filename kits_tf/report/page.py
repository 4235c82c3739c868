"""Self-contained HTML: one page a case, and an index. Nothing is loaded from elsewhere, all text is escaped.

The one script sorts the index's table; without it the page reads as it is. Each page has a policy by which the browser
itself loads nothing and runs no other script.
"""

import base64
import hashlib
import html
import re
import urllib.parse

_NUMBER = re.compile(r"[-+]?[\d.]*|-")

WARNING = (
    "Not a medical device. These outlines and numbers come from research software and have not been checked by a "
    "physician; they must not be used to diagnose or treat anyone."
)

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: #1b1f24;
  background: #f4f5f7; margin: 0; }
main { max-width: 1120px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 10px; }
.lead { color: #57606a; margin: 0 0 16px; }
.warning { background: #fff4d6; border-left: 5px solid #e69f00; padding: 10px 14px; margin: 0 0 20px; }
section { background: #fff; border: 1px solid #d8dde3; border-radius: 8px; padding: 18px 20px; margin: 0 0 20px; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 4px; background: #000; }
figcaption, .note { color: #57606a; font-size: 13px; margin: 6px 0 0; max-width: 100ch; }
.tables { display: flex; flex-wrap: wrap; gap: 16px 48px; align-items: flex-start; }
.wide { overflow-x: auto; font-size: 13px; }
.wide th, .wide td { padding-right: 10px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: 4px; }
th, td { padding: 4px 14px 4px 0; text-align: right; border-bottom: 1px solid #e6e9ed; vertical-align: top; }
td.text, .plain td { text-align: left; }
th:first-child, td:first-child { text-align: left; min-width: 6.5em; overflow-wrap: anywhere; }
thead th { color: #57606a; font-weight: 600; }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; text-align: inherit;
  cursor: pointer; text-decoration: underline dotted; }
th[aria-sort="ascending"] button::after { content: " \\2191"; }
th[aria-sort="descending"] button::after { content: " \\2193"; }
tfoot td { font-weight: 600; border-top: 2px solid #57606a; }
a { color: #0b5cad; }
footer { color: #57606a; font-size: 13px; }
@media print {
  body { background: #fff; font-size: 11pt; }
  main { max-width: none; padding: 0; }
  section { border: 0; padding: 0; break-inside: avoid; }
  h2 { break-after: avoid; }
  figure img { max-height: 20cm; object-fit: contain; }
  figure img, .warning { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .wide { overflow: visible; font-size: 8pt; }
  .tables { gap: 12px 28px; font-size: 10pt; }
  th, td { padding-right: 8px; }
  th button { text-decoration: none; }
}
"""


SORT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const text = (row) => row.cells[column].textContent.trim();
    const number = (row) => (text(row) === "" || isNaN(text(row)) ? null : Number(text(row)));
    const rows = [...body.rows];
    const numeric = rows.some((row) => number(row) !== null);
    rows.sort((a, b) => {
      if (!numeric) return (rising ? 1 : -1) * text(a).localeCompare(text(b));
      const [x, y] = [number(a), number(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return rising ? x - y : y - x;
    });
    body.append(...rows);
  }));
}
"""
"""Sorts a table by the column whose head is clicked; rows without a number there come last."""


def document(title, body, script=""):
    """A whole HTML document.

    Args:
        title: plain text.
        body: HTML.
        script: JavaScript of this module, run at the end.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    allowed = f"script-src 'sha256-{digest}'; " if script else ""
    policy = f"default-src 'none'; {allowed}img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        f"<footer>{html.escape(WARNING)}</footer>\n</main>\n"
        + (f"<script>{script}</script>\n" if script else "")
        + "</body>\n</html>\n"
    )


def heading(title, lead):
    """The top of a page: its title, one line beneath, and the warning. Plain text in."""
    return (
        f'<h1>{html.escape(title)}</h1>\n<p class="lead">{html.escape(lead)}</p>\n'
        f'<p class="warning" role="note">{html.escape(WARNING)}</p>\n'
    )


def section(title, *parts):
    """A titled part of a page.

    Args:
        title: plain text.
        *parts: HTML.
    """
    return f"<section>\n<h2>{html.escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>\n"


def picture(image, description, caption):
    """A picture inside the page.

    Args:
        image: bytes of a PNG or JPEG file.
        description: plain text for those who cannot see it.
        caption: plain text beneath it.
    """
    encoded = base64.b64encode(image).decode("ascii")
    kind = "jpeg" if image[:2] == b"\xff\xd8" else "png"
    return (
        f'<figure><img alt="{html.escape(description)}" src="data:image/{kind};base64,{encoded}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def millilitres(volume_ml):
    """A volume as text; None is that of tumors that were not looked for."""
    return "not looked for" if volume_ml is None else f"{volume_ml:.1f}"


def table(heads, rows, caption=None, last=(), sortable=False):
    """A table.

    Args:
        heads: column heads, plain text; none for a table without.
        rows: lists of cells: plain text, or `Html`.
        caption: plain text above it, or None.
        last: rows that stay at the end.
        sortable: whether its heads sort it, see `SORT`.
    """
    if sortable:
        top = "".join(f"<th scope='col'><button type='button'>{html.escape(head)}</button></th>" for head in heads)
    else:
        top = "".join(f"<th scope='col'>{html.escape(head)}</th>" for head in heads)
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    below = f"<tfoot>\n{_lines(last)}</tfoot>" if last else ""
    kind = " class='sortable'" if sortable else "" if heads else " class='plain'"
    head = f"<thead><tr>{top}</tr></thead>" if heads else ""
    return f"<table{kind}>{above}{head}\n<tbody>\n{_lines(rows)}</tbody>{below}</table>"


def _lines(rows):
    return "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in rows)


class Html(str):
    """Text that is HTML already."""


def link(address, text):
    """A link to a file beside the page. Plain text in, `Html` out."""
    return Html(f'<a href="{html.escape(urllib.parse.quote(address))}">{html.escape(text)}</a>')


def _cell(cell):
    """A cell; numbers stand at its right, text at its left."""
    kind = "" if _NUMBER.fullmatch(cell) else ' class="text"'
    return f"<td{kind}>{cell if isinstance(cell, Html) else html.escape(cell)}</td>"
