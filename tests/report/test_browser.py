"""In a real browser: no script error, nothing fetched, sorting works, names do nothing. Skipped without Chromium."""

import re
import shutil
import subprocess

import pytest

from kits_tf.report import page
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


def test_the_index_sorts_and_names_are_text(tmp_path):
    cases = {"b": ("b.html", facts(200.0)), NASTY: ("c.html", facts(1000.0)), "a": ("a.html", facts(30.0))}
    text = index_page(cases, {NASTY: NASTY})
    click = "document.querySelectorAll('th')[1].click();"
    found = {}
    for name, clicks in (("none", ""), ("rising", click), ("falling", click * 2)):
        (tmp_path / f"{name}.html").write_text(text.replace("</script>", f"{clicks}</script>"), encoding="utf-8")
        dom, console = browse(tmp_path / f"{name}.html", tmp_path / "profile")
        assert console == []
        assert "<title>Kidney and kidney tumor</title>" in dom
        found[name] = re.findall(r"<td>(\d+\.\d)</td><td>0\.0</td>", dom)
    assert found["rising"] == ["30.0", "200.0", "1000.0"]
    assert found["falling"] == ["1000.0", "200.0", "30.0"]
    assert page.SORT.strip() in text
