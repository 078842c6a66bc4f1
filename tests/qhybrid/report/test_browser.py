"""The page in a real browser: no message on the console, nothing cut off, nothing too small."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qhybrid.comparison.compare import Comparison, spread
from qhybrid.comparison.models import Model
from qhybrid.comparison.render import render as render_comparison
from qhybrid.comparison.training_log import TrainingLog
from qhybrid.comparison.verdict import compare_values
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


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    """Return a comparison of three models with long names, one of them with one seed."""
    names = ("unet dim=8", "1hqconv-qvunet-control learning_rate=0.001 batch_size=64", "c")
    values = ((0.5, 0.4, 0.45), (0.3, 0.31, 0.2), (0.1,))
    logs = [
        [TrainingLog((1, 2, 3), (0.9, each, each / 2), each, 0.1) for each in group]
        for group in values
    ]
    Image.new("L", (40, 40)).save(tmp_path / "grid.png")
    spreads = dict(zip(names, map(spread, values), strict=True))
    figures = [
        {"name": name, "measured": "m" * 60, "better": "lower", "models": spreads}
        for name in ("loss", "classifier-FID", "KID")
    ]
    verdict = compare_values(values[0], values[1], lower_is_better=True)
    content = {
        "qhybrid": "1",
        "level": 0.02,
        "models": [
            {
                "name": name,
                "runs": [{"folder": "f", "seed": 0}],
                "parameters": 10**6,
                "circuit_weights": 10,
                "dead_weights": 0,
                "circuit_influence": None,
                "seconds_per_step": spreads[name],
                "costs": [],
                "grid": str(tmp_path / "grid.png"),
            }
            for name in names
        ],
        "figures": figures,
        "verdicts": [
            {"figure": "loss", "first": names[0], "second": names[1], **vars(verdict)}
            | {"sentence": verdict.sentence}
        ],
        "comparisons": 1,
        "settings": {"data.dataset": ["/a/long/path/to/images" * 3, "digits", "digits"]},
        "notes": ["/a/long/path/to/a/run" * 6],
    }
    models = tuple(Model(name, ()) for name in names)
    return Comparison(content, models, tuple(map(tuple, logs)))


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_of_a_comparison_is_legible(
    width: int, comparison: Comparison, tmp_path: Path
) -> None:
    measured, console = browse(render_comparison(comparison, "html"), width, tmp_path)
    assert console == []
    assert measured["width"] == width
    assert measured["page"] <= width
    assert measured["tooWide"] == []
    assert measured["figures"] == 1
    assert measured["smallest"] >= 12


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


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_of_a_run_is_legible(width: int, run_report: Report, tmp_path: Path) -> None:
    measured, console = browse(render(run_report, "html"), width, tmp_path)
    assert console == []
    assert measured["page"] <= width
    assert measured["tooWide"] == []
    assert measured["figures"] == 4  # loss, one figure, influence, and the circuit
    assert measured["smallest"] >= 9


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
