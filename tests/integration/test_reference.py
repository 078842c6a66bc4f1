"""Every public name has an example, and the examples run."""

import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qhybrid_circuits.errors import QHybridError
from tests.integration.pages import ROOT

PACKAGES = ("qhybrid_circuits", "qhybrid_runtime", "qhybrid")
PARTS = (
    *("qhybrid_circuits.ansatz", "qhybrid_circuits.encoding", "qhybrid_circuits.lowering"),
    *("qhybrid_runtime.engine", "qhybrid_runtime.health", "qhybrid_runtime.natural_gradient"),
    *("qhybrid_runtime.device_noise", "qhybrid.diffusion.schedules", "qhybrid.diffusion.loss"),
    "qhybrid.states",
)
PAGES = sorted((ROOT / "docs").glob("api-*.md"))


def documented() -> Iterator[str]:
    """Classes and functions of the packages, the functions of their parts, one exception."""
    seen: set[int] = set()
    for package in (*PACKAGES, *PARTS):
        module = importlib.import_module(package)
        for name in dir(module) if package in PACKAGES else module.__all__:
            thing = getattr(module, name)
            wanted = inspect.isclass(thing) and package in PACKAGES
            if wanted and issubclass(thing, Exception):
                wanted = thing is QHybridError
            if not name.startswith("_") and id(thing) not in seen:
                if wanted or inspect.isfunction(thing):
                    yield f"{package}.{name}"
                seen.add(id(thing))


NAMES = list(documented())


def found(name: str) -> Any:
    module, _, thing = name.rpartition(".")
    return getattr(importlib.import_module(module), thing)


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
    assert run_example(inspect.getdoc(found(name)) or "", name) > 0


@pytest.mark.parametrize("name", [name for name in NAMES if inspect.isfunction(found(name))])
def test_arguments_are_described(name: str) -> None:
    _, _, text = (inspect.getdoc(found(name)) or "").partition("Args:\n")
    described = set(re.findall(r"^ {4}(\w+):", text, re.MULTILINE))
    assert set(inspect.signature(found(name)).parameters) <= described


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_pages_run(page: Path) -> None:
    run_example(page.read_text("utf-8"), page.stem)
