"""In Chromium, if it is installed: no console message, no sideways scrolling, the viewer and the index work."""

import html
import json
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

import kits_tf
from kits_tf import files
from kits_tf.data import kits19
from kits_tf.io.volume import Volume, read_labels, read_volume
from kits_tf.report import figures, pages
from tests.report.test_pages import KIDNEY_ONLY, labels, page_of, row

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NASTY = """<script>document.title = "run"</script><img src=x onerror='document.title="run"'>""" + 90 * "x"
WIDTHS = (375, 1440)
SAMPLE = pathlib.Path(kits_tf.__file__).with_name("samples") / "trunk_ct"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def browse(text, folder):
    """Return the page after its scripts, and console messages."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    command = [CHROMIUM, *flags.split(), "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--dump-dom"]
    command += ["--virtual-time-budget=20000", (folder / "page.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def overflows(texts, folder):
    """Return by how many pixels each page is too wide for each of the widths."""
    frames = "".join(
        f'<iframe style="width:{width}px" srcdoc="{html.escape(text)}"></iframe>' for text in texts for width in WIDTHS
    )
    script = """onload = () => { document.title = [...document.querySelectorAll("iframe")].map((frame) => {
        const page = frame.contentDocument.documentElement; return page.scrollWidth - page.clientWidth; }); };"""
    dom, console = browse(f"<title></title>{frames}<script>{script}</script>", folder)
    assert console == []
    return [int(pixels) for pixels in re.search("<title>(.*?)</title>", dom)[1].split(",")]


def with_script(text, more):
    """Add to a page's own script, which its policy allows by its digest."""
    script = re.search("(?s)<script>(.*)</script>", text)[1]
    digest = pages._templates().filters["sha256"]
    return text.replace(script, script + more).replace(digest(script), digest(script + more))


VIEW = """
window.requestAnimationFrame = (step) => setTimeout(step, 1); // virtual time does not wait for frames
const shown = () => new Promise((done) => setTimeout(done, 5));
const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const picture = (canvas) => {
  [copy.canvas.width, copy.canvas.height] = [canvas.width, canvas.height];
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  return data.reduce((digest, value) => (digest * 31 + value) >>> 0, 7);
};
const set = (name, value) => {
  const control = viewer.querySelector(`[name="${name}"]`);
  if (control.type === "checkbox") control.checked = value; else control.value = value;
  control.dispatchEvent(new Event("input"));
};
(async () => {
  while (viewer.hidden) await new Promise((done) => setTimeout(done, 50));
  await shown();
  const said = {};
  const canvases = [...viewer.querySelectorAll("canvas")];
  for (const canvas of canvases) {
    const caption = canvas.parentElement.querySelector("figcaption");
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
    await shown();
    const [captions, pictures] = [new Set([caption.textContent]), new Set([picture(canvas)])];
    for (let step = 0; step < 60; step++) {
      canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: 100 }));
      await shown();
      captions.add(caption.textContent);
      pictures.add(picture(canvas));
    }
    said[caption.textContent] = [captions.size, pictures.size];
  }
  viewer.querySelector("button[data-target]").click();
  await shown();
  said.tumor = [...viewer.querySelectorAll("figcaption")].map((one) => one.textContent).join("; ");
  const before = picture(canvases[0]);
  const states = {};
  for (const [name, off, on] of [["overlay", false, true], ["opacity", 90, 40], ["window", "0 150", "-160 240"],
    ["zoom", 3, 1]]) {
    set(name, off);
    await shown();
    states[name] = [picture(canvases[0]) !== before];
    set(name, on);
    await shown();
    states[name].push(picture(canvases[0]) === before);
  }
  const { left, top, width, height } = canvases[0].getBoundingClientRect();
  canvases[0].setPointerCapture = () => {};
  const at = { clientX: left + width * 0.25, clientY: top + height * 0.5, buttons: 1, pointerId: 1 };
  canvases[0].dispatchEvent(new PointerEvent("pointerdown", at));
  await shown();
  said.tap = [...viewer.querySelectorAll("figcaption")].map((one) => one.textContent).join("; ");
  document.querySelector(".enlarge").click();
  said.enlarged = document.getElementById("enlarged").open;
  document.title = JSON.stringify({ said, states });
})();"""
"""Scrolls through 60 slices of each plane from the first; jumps, taps, and changes what is shown and back."""


def view(text, folder):
    """Use the viewer of a page as a reader would; return what it showed."""
    dom, console = browse(with_script(text, VIEW), folder)
    assert console == []
    return json.loads(html.unescape(re.search("<title>(.*?)</title>", dom)[1]))


def test_pages_are_shown_offline_fit_any_width_and_names_are_text(tmp_path):
    sidecar = KIDNEY_ONLY | {"tumor_ml": 1.0, "input": NASTY, NASTY: [NASTY]}
    case = page_of(labels(), labels()[::-1], sidecar, NASTY)[1]
    names = [NASTY, f"{NASTY}2"]
    rows = {name: case.row | {"page": f"{number}.html"} for number, name in enumerate(names)}
    for one in rows.values():
        files.write_text(tmp_path / one["page"], case.html())
    pages.write_index(tmp_path / "index.html", rows, {NASTY: NASTY}, [NASTY])
    texts = [(tmp_path / name).read_text() for name in ("0.html", "index.html")]
    volume = Volume(np.zeros(labels().shape, np.int16), (4.0, 2.0, 2.0))
    texts.append(pages.build_case("ct", volume, labels(), viewer=False).html())
    assert overflows(texts, tmp_path) == [0] * 6
    for text in texts:
        dom, console = browse(text, tmp_path)
        assert console == [] and "<title>run" not in dom


def test_a_report_of_twenty_cases_fits_a_screen_and_a_phone_and_is_filtered_and_sorted(tmp_path):
    cases = {f"case_{n:05d}": row(n / 20) | {"kidney_ml": str(n * 30), "finding": f"{n} found"} for n in range(20)}
    text = pages.index_html(cases, {})
    assert overflows([text], tmp_path) == [0, 0]
    for clicks, first in ((1, "0"), (2, "570")):
        dom, console = browse(with_script(text, "heads[2].click();" * clicks), tmp_path)
        assert console == [] and re.findall(r'data-head="kidney, ml">(\d+)<', dom)[0] == first
    dom, console = browse(
        with_script(text, 'filter.value = "19 F"; filter.dispatchEvent(new Event("input"));'), tmp_path
    )
    assert console == [] and dom.count('<tr hidden="">') == 19 and ">1 of 20</output>" in dom


def test_the_viewer_scrolls_through_sixty_slices_of_each_plane_and_toggles_the_overlay(tmp_path):
    """Every slice differs, by a ramp of HU along each axis; the page is well under 15 MB."""
    ramp = np.indices((70, 72, 74)).sum(axis=0)
    prediction = np.zeros(ramp.shape, np.uint8)
    prediction[20:50, 20:50, 5:30] = 1
    prediction[30:36, 30:36, 10:18] = 2
    text = pages.build_case("ct", Volume(ramp.astype(np.int16), (1.5, 1.5, 1.5)), prediction).html()
    assert len(text) < 15e6
    found = view(text, tmp_path)
    said = found["said"]
    for plane in ("axial", "coronal", "sagittal"):
        assert said[f"{plane}, slice 60"] == [61, 61], plane
    assert said["tumor"] == "axial, slice 30; coronal, slice 30; sagittal, slice 10"
    assert said["tap"] == "axial, slice 30; coronal, slice 36; sagittal, slice 18" and said["enlarged"]
    assert found["states"] == dict.fromkeys(("overlay", "opacity", "window", "zoom"), [True, True])


def test_pages_of_real_cts_fit_any_width_and_their_viewer_scrolls(tmp_path):
    """The bundled CT, whole and cut, with a tumor painted into its labels and with none found."""
    volume = read_volume(SAMPLE / kits19.IMAGE_NAME)
    kidney, _ = read_labels(SAMPLE / kits19.LABEL_NAME)
    reference = kidney.copy()
    reference[30:36, :, 60:] *= 2
    for part, prediction in ((slice(None), np.roll(reference, 1, axis=2)), (slice(5, 96), kidney)):
        own = Volume(volume.hu[part], volume.spacing_mm)
        text = pages.build_case("case_00000", own, prediction[part], reference[part]).html()
        assert len(text) < 15e6 and overflows([text], tmp_path) == [0, 0]
        found = view(text, tmp_path)
        moved = [seen for title, seen in found["said"].items() if title.startswith(tuple(figures.EDGES))]
        assert moved == [[61, 61]] * 3
        assert found["states"] == dict.fromkeys(("overlay", "opacity", "window", "zoom"), [True, True])


def test_the_browser_itself_refuses_a_foreign_script_and_the_network(tmp_path):
    text = pages.index_html({}, {})
    dom, console = browse(text.replace("</h1>", f'</h1><img src="http://localhost/x.png">{NASTY}'), tmp_path)
    assert "<title>run" not in dom and sum("Content Security Policy" in line for line in console) >= 3
