"""Processes that a process has started."""

import os
from pathlib import Path


def children_of(process: int) -> list[int]:
    """Return the processes that the main thread of a process has started, and that go on."""
    return [int(child) for child in _file(process).read_text().split()]


def can_tell() -> bool:
    """Return whether the system says: not all have /proc, nor all of these children in it."""
    return _file(os.getpid()).exists()


def _file(process: int) -> Path:
    return Path(f"/proc/{process}/task/{process}/children")
