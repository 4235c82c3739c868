"""In a real browser: no script error, nothing fetched, sorting works, names do nothing. Skipped without Chromium."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from kits_tf.io.volume import Volume
from kits_tf.report import page
from kits_tf.report.case_page import case_page
from kits_tf.report.index_page import index_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NASTY = """<script>document.title = "run"</script><img src=x onerror='document.title="run"'>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def browse(path, profile):
    """(the page after its scripts, console messages)."""
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    command = [CHROMIUM, *flags.split(), "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={profile}", "--enable-logging=stderr", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def facts(kidney_ml):
    return {"kidney_ml": kidney_ml, "tumor_ml": 0.0, "tumors": [], "scores": None}


def test_the_index_sorts_and_names_are_text(tmp_path, monkeypatch):
    cases = {"b": ("b.html", facts(200.0)), NASTY: ("c.html", facts(1000.0)), "a": ("a.html", facts(30.0))}
    click = "document.querySelectorAll('th')[1].click();"
    sort, found = page.SORT, {}
    for name, clicks in (("none", ""), ("rising", click), ("falling", click * 2)):
        monkeypatch.setattr(page, "SORT", sort + clicks)
        (tmp_path / f"{name}.html").write_text(index_page(cases, {NASTY: NASTY}), encoding="utf-8")
        dom, console = browse(tmp_path / f"{name}.html", tmp_path / "profile")
        assert console == []
        assert "<title>Kidney and kidney tumor</title>" in dom
        found[name] = re.findall(r"<td>(\d+\.\d)</td><td>0\.0</td>", dom)
    assert found["rising"] == ["30.0", "200.0", "1000.0"]
    assert found["falling"] == ["1000.0", "200.0", "30.0"]


def test_a_case_is_shown_offline_and_its_names_are_text(tmp_path):
    pytest.importorskip("matplotlib")
    labels = np.zeros((12, 40, 48), np.uint8)
    labels[3:9, 15:27, 6:16] = 1
    labels[4:7, 16:22, 8:14] = 2
    volume = Volume(np.where(labels > 0, 150, 30).astype(np.int16), (4.0, 3.0, 3.0))
    text, _ = case_page(NASTY, volume, labels, np.roll(labels, 1, axis=2), {"input": NASTY, NASTY: [NASTY]})
    (tmp_path / "case.html").write_text(text, encoding="utf-8")
    dom, console = browse(tmp_path / "case.html", tmp_path / "profile")
    assert console == []
    assert "<title>&lt;script&gt;" in dom and "<title>run" not in dom
    assert "<script" not in dom and "onerror" not in re.sub("&lt;.*?&gt;", "", dom)


def test_the_browser_itself_refuses_a_foreign_script_and_the_network(tmp_path):
    text = page.document("still", f'<img src="http://localhost/x.png">{NASTY}', page.SORT)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    dom, console = browse(tmp_path / "page.html", tmp_path / "profile")
    assert "<title>still</title>" in dom
    assert sum("Content Security Policy" in line for line in console) >= 3
