"""Imports of libraries without what they import for next to nothing.

Each command waits for what it loads. What these functions leave out was a third of the time that
`qhybrid sample` takes to start; docs/performance.md has the figures.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType


@contextmanager
def version_alone(package: str) -> Iterator[None]:
    """Let imports in the block find an empty package with the version of the installed one.

    What is loaded already stays, and so does what is not installed.
    """
    if package in sys.modules:
        yield
        return
    stand_in = ModuleType(package)
    try:
        stand_in.__version__ = version(package)  # type: ignore[attr-defined]
    except PackageNotFoundError:
        yield
        return
    with _in_place_of(package, stand_in):
        yield


@contextmanager
def left_out(module: str) -> Iterator[None]:
    """Let imports in the block not find a module, unless it is loaded already."""
    if module in sys.modules:
        yield
        return
    with _in_place_of(module, None):
        yield


@contextmanager
def _in_place_of(name: str, stand_in: ModuleType | None) -> Iterator[None]:
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    modules[name] = stand_in
    try:
        yield
    finally:
        if modules.get(name) is stand_in:
            modules.pop(name, None)
