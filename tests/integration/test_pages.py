"""What the pages show is run, or read by the parser that would run it."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from qhybrid.cli.main import COMMANDS, command_line, main
from qhybrid.settings.sources import config_keys
from tests.integration.conftest import QUICK
from tests.integration.pages import (
    PAGES,
    ROOT,
    commands,
    inline_commands,
    python_blocks,
    tags,
)

GUIDES = [ROOT / "docs" / f"own-{what}.md" for what in ("data", "ansatz", "backend")]
ELSEWHERE = [ROOT / "README.md", ROOT / "docs" / "reports.md"]
"""Tests of their own look at what their blocks print."""
PROGRAMS = {".", "mypy", "pip", "ruff", "sphinx-build", "uv"}
"""Other programs that pages start, as CI does."""


def run_blocks(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another, as in a notebook; one that begins with a file's name is that file too."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    names: dict[str, object] = {}
    for block in python_blocks(page):
        if "qiskit_aqt_provider" in block:
            pytest.importorskip("qiskit_aqt_provider", reason="qiskit-aqt-provider is missing")
        if file := re.match(r"# (\w+\.py)\n", block):
            (folder / file[1]).write_text(block, encoding="utf-8")
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if python_blocks(page) and page not in (*GUIDES, *ELSEWHERE)],
    ids=lambda page: page.stem,
)
def test_blocks_run(page: Path, page_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_blocks(page, page_runs, monkeypatch)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guides_work(
    page: Path, page_runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their commands too, on files that they have written: a step of training, no images."""
    run_blocks(page, page_runs, monkeypatch)
    for program, name, *words in commands(page):
        if program == "qhybrid" and "photos" not in words:
            small = [*QUICK, "--set", "data.limit=4", "--set", "training.batch_size=2"]
            quick = {"train": small, "sample": ["--dry-run"]}.get(name, [])
            assert main([name, *words, *quick]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_text_is_lost_as_a_tag(page: Path) -> None:
    assert tags(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_understood(page: Path) -> None:
    parsers = command_line(list(COMMANDS)).commands
    for program, *words in commands(page):
        if words[:2] == ["-m", "pytest"]:
            program, words = "pytest", words[2:]
        name = program.removeprefix(".venv/bin/")
        if name == "qhybrid":
            parsers[words[0]].make_context(words[0], words[1:])
            keys = [value for flag, value in pairwise(words) if flag == "--set"]
            if words[0] == "train":
                assert {key.partition("=")[0] for key in keys} <= set(config_keys())
        elif name == "pytest":
            assert all((ROOT / path).exists() for path in words if path.startswith("tests"))
        elif name in ("python", "python3"):
            check_script(words)
        else:
            assert name in PROGRAMS, name
    for name, flags in inline_commands(page):
        known = {flag for each in parsers[name].params for flag in each.opts} | {"--help"}
        assert set(flags) <= known | {"--debug"}, name


def check_script(words: list[str]) -> None:
    """A module or file that exists, and has the flags."""
    first, *rest = words
    if first == "-c":
        compile(rest[0], first, "exec")
    elif rest[:1] != ["venv"]:
        path = ROOT / (rest.pop(0).replace(".", "/") if first == "-m" else first)
        files = path.glob("*.py") if path.is_dir() else [path.with_suffix(".py")]
        text = "".join(file.read_text("utf-8") for file in files)
        assert all(f'"{flag}"' in text for flag in rest if flag.startswith("--")), words
