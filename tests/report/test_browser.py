"""In Chromium, if it is installed: no console message, no sideways scrolling, sorting works, names do nothing."""

import html
import re
import shutil
import subprocess

import pytest

from kits_tf.report import pages
from tests.report.test_pages import KIDNEY_ONLY, labels, page_of, row

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NASTY = """<script>document.title = "run"</script><img src=x onerror='document.title="run"'>""" + 90 * "x"
WIDTHS = (375, 1440)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def browse(text, folder):
    """Return the page after its scripts, and console messages."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    command = [CHROMIUM, *flags.split(), "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--dump-dom"]
    command.append((folder / "page.html").as_uri())
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def overflows(text, folder):
    """Return by how many pixels a page is too wide for each of the widths."""
    frames = "".join(f'<iframe style="width:{width}px" srcdoc="{html.escape(text)}"></iframe>' for width in WIDTHS)
    script = """onload = () => { document.title = [...document.querySelectorAll("iframe")].map((frame) => {
        const page = frame.contentDocument.documentElement; return page.scrollWidth - page.clientWidth; }); };"""
    dom, console = browse(f"<title></title>{frames}<script>{script}</script>", folder)
    assert console == []
    return re.search("<title>(.*?)</title>", dom)[1]


def test_pages_are_shown_offline_fit_any_width_and_names_are_text(tmp_path):
    sidecar = KIDNEY_ONLY | {"tumor_ml": 1.0, "input": NASTY, NASTY: [NASTY]}
    case = page_of(labels(), labels()[::-1], sidecar, NASTY)[1].html(NASTY, NASTY, has_index=True)
    index = pages.index_html({NASTY: row(0.5), "b": row(None)}, {NASTY: NASTY})
    for text in (case, index):
        assert overflows(text, tmp_path) == "0,0"
        dom, console = browse(text, tmp_path)
        assert console == [] and "<title>run" not in dom


def test_the_index_sorts_numbers_by_value(tmp_path, monkeypatch):
    cases = {name: row(0.5) | {"kidney_ml": ml} for name, ml in (("a", "200"), ("b", "1000"), ("c", "30"))}
    text = pages.index_html(cases, {})
    script = re.search("(?s)<script>(.*)</script>", text)[1]
    digest = pages._templates().filters["sha256"]
    for clicks, expected in ((1, ["30", "200", "1000"]), (2, ["1000", "200", "30"])):
        clicked = script + "heads[2].click();" * clicks
        changed = text.replace(script, clicked).replace(digest(script), digest(clicked))
        dom, console = browse(changed, tmp_path)
        assert console == [] and re.findall(r'data-head="kidney, ml">(\d+)<', dom) == expected


def test_the_browser_itself_refuses_a_foreign_script_and_the_network(tmp_path):
    text = pages.index_html({}, {})
    dom, console = browse(text.replace("</h1>", f'</h1><img src="http://localhost/x.png">{NASTY}'), tmp_path)
    assert "<title>run" not in dom and sum("Content Security Policy" in line for line in console) >= 3
