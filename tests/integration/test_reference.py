"""Every public name has an example, and the examples run."""

import doctest
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from qhybrid_circuits.errors import QHybridError
from tests.integration.pages import ROOT

PACKAGES = ("qhybrid_circuits", "qhybrid_runtime", "qhybrid", "qhybrid_circuits.ansatz")
PAGES = sorted((ROOT / "docs").glob("api-*.md"))


def documented(module: ModuleType) -> Iterator[str]:
    """The names of a package that are classes or functions, of exceptions the first alone."""
    for name in dir(module):
        thing = getattr(module, name)
        if name.startswith("_") or not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        if thing is QHybridError or not (inspect.isclass(thing) and issubclass(thing, Exception)):
            yield f"{module.__name__}.{name}"


NAMES = [name for each in PACKAGES for name in documented(importlib.import_module(each))]


def run_example(text: str, name: str) -> int:
    """Run what begins with `>>>` in a text, and return how many lines that was."""
    test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    found = runner.run(test, out=report.append)
    assert not found.failed, "".join(report)
    return found.attempted


@pytest.mark.parametrize("name", NAMES)
def test_names_have_examples(name: str, page_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(page_runs)
    module, _, thing = name.rpartition(".")
    text = inspect.getdoc(getattr(importlib.import_module(module), thing))
    assert run_example(text or "", name) > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_pages_run(page: Path) -> None:
    run_example(page.read_text("utf-8"), page.stem)
