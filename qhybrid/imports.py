"""Imports of libraries without what they import for next to nothing.

Each command waits for what it loads; docs/performance.md has the figures.
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
    stand_in = ModuleType(package)
    try:
        stand_in.__version__ = version(package)  # type: ignore[attr-defined]
    except PackageNotFoundError:
        yield
        return
    with left_out(package, stand_in):
        yield


@contextmanager
def left_out(module: str, stand_in: ModuleType | None = None) -> Iterator[None]:
    """Let imports in the block find a stand-in for a module, or not find it where there is none.

    A module that is loaded already stays.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    if module in modules:
        yield
        return
    modules[module] = stand_in
    try:
        yield
    finally:
        if modules.get(module) is stand_in:
            modules.pop(module, None)
