"""The page in a real browser: no message on the console, nothing cut off, nothing too small."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from qhybrid.report.build import Report
from qhybrid.report.render import render

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (path := shutil.which(name))
    ),
    None,
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")

#: Measures the page as it is laid out and leaves the result where --dump-dom shows it.
PROBE = """
<script>
const inScroller = (node) => node.closest('.scroll') !== null;
const tooWide = [...document.querySelectorAll('main *')].filter((node) =>
  !inScroller(node) && node.getBoundingClientRect().right > innerWidth + 1);
const texts = [...document.querySelectorAll('main *')].filter((node) =>
  [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim()) &&
  !['TITLE', 'DT', 'DD'].includes(node.tagName.toUpperCase()) && node.getClientRects().length);
const heights = texts.map((node) => {
  const size = parseFloat(getComputedStyle(node).fontSize);
  const svg = node.ownerSVGElement;
  return svg ? size * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : size;
});
const pre = document.createElement('pre');
pre.id = 'probe';
pre.textContent = JSON.stringify({
  width: innerWidth, page: document.documentElement.scrollWidth,
  tooWide: tooWide.map((n) => n.tagName + '.' + n.getAttribute('class')),
  smallest: Math.min(...heights), figures: document.querySelectorAll('svg').length,
  bars: [...document.querySelectorAll('.fill')].map((n) => n.getBoundingClientRect().width),
});
parent.document.body.append(pre);
</script>
"""


def browse(text: str, width: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return what the probe measured and the lines that reached the console.

    A window is at least 500 pixels wide, so the page is in a frame.
    """
    page = folder / "page.html"
    frame = escape(text.replace("</body>", f"{PROBE}</body>"))
    page.write_text(
        '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{frame}"></iframe>',
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={folder / 'profile'}",
            "--window-size=1600,900",
            "--enable-logging=stderr",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert found is not None
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return json.loads(unescape(found.group(1))), console


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_is_legible(
    width: int, model_report: Report, released_report: Report, tmp_path: Path
) -> None:
    for report, figures in ((model_report, 5), (released_report, 3)):
        measured, console = browse(render(report, "html"), width, tmp_path)
        assert console == []
        assert measured["width"] == width
        assert measured["page"] <= width
        assert measured["tooWide"] == []
        assert measured["figures"] == figures
        assert measured["smallest"] >= 6.5
        assert max(measured["bars"]) > 60


def test_the_probe_sees_what_is_wrong(tmp_path: Path) -> None:
    text = (
        "<!doctype html><body><main><p style='width:900px;font-size:5px'>small</p></main>"
        "<script>nothing.of_that_name()</script></body>"
    )
    measured, console = browse(text, 800, tmp_path)
    assert len(console) == 1
    assert measured["page"] > 800
    assert measured["smallest"] == 5
    assert measured["tooWide"] == ["P.null"]
