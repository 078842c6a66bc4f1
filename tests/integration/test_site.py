"""The documentation site is built, and what its pages refer to exists."""

import importlib
import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from qhybrid.cli.main import COMMANDS, command_line
from tests.integration.pages import ROOT

build = pytest.importorskip("sphinx.cmd.build", reason="sphinx is not installed")
pytest.importorskip("myst_nb", reason="myst-nb is not installed")
pytest.importorskip("qiskit_sphinx_theme", reason="qiskit-sphinx-theme is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PACKAGES = ("qhybrid", "qhybrid_circuits", "qhybrid_runtime")
REPOSITORY = "https://github.com/qhybrid/qhybrid/blob/main/"


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what a browser loads for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.text = ""
        self.formulas = 0
        self.without_keys: list[str] = []
        self.without_level = 0
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.formulas += tag == "math"
        values = {name: value or "" for name, value in attrs}
        scrolls = tag == "pre" or "table-wrapper" in values.get("class", "")
        if scrolls and values.get("tabindex") != "0":
            self.without_keys.append(self.get_starttag_text() or "")
        self.without_level += values.get("role") == "heading" and "aria-level" not in values
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        for name in ("src", "href"):
            if tag != "a" and name in values:
                self.loaded.append(values[name])

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors; it imports what it documents, 15 s of work."""
    out = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-d", str(out / "doctrees")]
    assert build.build_main([*options, str(ROOT / "docs"), str(out / "html")]) == 0
    return out / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_each_page_of_docs_is_one_of_the_site(site: Path) -> None:
    docs = ROOT / "docs"
    for path in (*docs.glob("*.md"), *docs.glob("notebooks/*.ipynb")):
        assert (site / path.relative_to(docs)).with_suffix(".html").exists()


def test_links_lead_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    broken = defaultdict(list)
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if link.startswith(REPOSITORY):
                found = (ROOT / unquote(parts.path.split("/blob/main/")[1])).exists()
            elif parts.scheme:
                continue
            else:
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                found = target.exists()
                if found and parts.fragment and target.suffix == ".html":
                    found = unquote(parts.fragment) in pages[target].anchors
            if not found:
                broken[path.name].append(link)
    assert not broken


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for source in page.loaded:
            parts = urlsplit(source)
            assert parts.scheme in ("", "data"), source
            assert not parts.path or (path.parent / unquote(parts.path)).exists(), source


def test_keyboards_and_screen_readers_get_all(site: Path, pages: dict[Path, Page]) -> None:
    """Of the rules of axe-core, those that Sphinx and its theme break by themselves."""
    for page in pages.values():
        assert page.without_keys == []
        assert page.without_level == 0
    reference = (site / "api-qhybrid.html").read_text("utf-8")
    assert "sig-param" in reference
    assert not re.search(r"<dl>\s*<dd>", reference)


def test_formulas_are_drawn_without_scripts(site: Path, pages: dict[Path, Page]) -> None:
    page = pages[site / "reports.html"]
    text = re.sub("`[^`]*`", "", (ROOT / "docs" / "reports.md").read_text("utf-8"))
    assert page.formulas == len(re.findall(r"\$[^$]+\$", text)) > 0
    assert "\\sum" not in page.text


def test_public_names_are_in_the_reference(pages: dict[Path, Page]) -> None:
    anchors = {anchor for page in pages.values() for anchor in page.anchors}
    for package in PACKAGES:
        names = {f"{package}.{name}" for name in importlib.import_module(package).__all__}
        assert names - {"qhybrid.__version__"} <= anchors


def test_options_are_in_the_reference(site: Path, pages: dict[Path, Page]) -> None:
    page = pages[site / "cli.html"]
    for name, command in command_line(list(COMMANDS)).commands.items():
        assert name in page.anchors
        for parameter in command.params:
            assert all(flag in page.text for flag in parameter.opts if flag.startswith("--"))
