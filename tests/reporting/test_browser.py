"""The page as a real browser lays it out."""

import json
import re
import shutil
import struct
import subprocess
from html import escape, unescape

import pytest

from hessdiag.reporting import render_html

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium on the PATH")

# Looks at the page from outside, as a frame of a given width, and leaves what it finds as text.
INSPECTION = """
<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="border:0;width:WIDTHpx;height:6000px" srcdoc="PAGE"></iframe>
<script>
function channels(colour) {
  const found = colour.match(/[\\d.]+/g).map(Number);
  return found.length < 4 ? [...found, 1] : found;
}
function luminance(rgb) {
  const part = rgb.slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.03928 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4));
  return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
}
function ground(view, element) {
  for (let e = element; e; e = e.parentElement) {
    const colour = channels(view.getComputedStyle(e).backgroundColor);
    if (colour[3] === 1) return colour;
  }
  return [255, 255, 255, 1];
}
frame.onload = () => {
  const view = frame.contentWindow, page = frame.contentDocument;
  page.querySelectorAll("details").forEach(d => { d.open = true; });
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  const low = [];
  let checked = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
    if (["STYLE", "SCRIPT"].includes(element.tagName)) continue;
    const style = view.getComputedStyle(element);
    const drawn = element instanceof view.SVGElement;
    const a = luminance(channels(drawn ? style.fill : style.color));
    const b = luminance(ground(view, element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    checked += 1;
    if (ratio < 4.5) low.push([element.tagName, walker.currentNode.data.trim(), ratio]);
  }
  const pre = document.createElement("pre");
  pre.id = "found";
  pre.textContent = JSON.stringify({
    width: page.documentElement.scrollWidth,
    wide: [...page.querySelectorAll(".hd-scroll")]
      .filter(e => e.scrollWidth > e.clientWidth).length,
    articles: page.querySelectorAll("main > article").length,
    rows: page.querySelectorAll("tbody tr").length,
    graphics: [...page.querySelectorAll("figure svg")].map(e => e.getBoundingClientRect().width),
    overlapping: [...page.querySelectorAll("figure svg")].filter(e =>
      e.getBoundingClientRect().right > page.documentElement.clientWidth).length,
    targets: [...page.querySelectorAll("nav a")].map(a => page.querySelector(a.hash).tagName),
    resources: view.performance.getEntriesByType("resource").length,
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
    checked, low,
  });
  document.body.append(pre);
};
</script>
"""


def browse(folder, path, *options):
    """Run the browser on a file; return its output and what it complained about."""
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        *options,
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, complaints


def inspect(folder, html, width, *options):
    """Lay out a page in a frame of a width and return what the inspection found."""
    path = folder / "inspection.html"
    text = INSPECTION.replace("WIDTH", str(width)).replace("PAGE", escape(html))
    path.write_text(text, encoding="utf-8")
    output, complaints = browse(
        folder,
        path,
        "--dump-dom",
        "--window-size=1400,1000",
        "--virtual-time-budget=5000",
        *options,
    )
    assert not complaints
    return json.loads(unescape(re.search(r'<pre id="found">(.*?)</pre>', output, re.S).group(1)))


@pytest.fixture(scope="module")
def html(reports, report_factory):
    deep = report_factory("a_very_long_name_" * 8, "overfitting", 14, 5)
    return render_html([*reports, deep], title="Four networks")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light")], ids=str
)
def test_page_is_legible(html, tmp_path, width, scheme):
    options = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    found = inspect(tmp_path, html, width, *options)
    assert found["dark"] is (scheme == "dark")
    assert found["width"] <= width
    assert found["overlapping"] == 0
    assert found["checked"] > 300
    assert found["low"] == []
    assert found["resources"] == 0
    assert found["articles"] == 4
    assert found["targets"] == ["ARTICLE"] * 4
    assert len(found["graphics"]) == 2 + 3 + 5 + 12
    assert min(found["graphics"]) > 250
    if width > 1000:
        assert found["wide"] == 0


@pytest.mark.slow
def test_browser_draws_the_page(html, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    image = tmp_path / "page.png"
    _, complaints = browse(tmp_path, path, f"--screenshot={image}", "--window-size=1280,2000")
    assert not complaints
    data = image.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1280, 2000)
    # A blank page of this size compresses to some 10 kB.
    assert len(data) > 100_000
