"""A line on kernels that are being compiled."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event
from rich.console import Console

from qhybrid.printing import print_lines
from qhybrid_runtime.engine.cpu.compiler import WAITING


class _Announcement(event.Listener):  # type: ignore[misc]
    def __init__(self, console: Console) -> None:
        self._console: Console | None = console

    def on_start(self, event: Any) -> None:
        if self._console is not None:
            text = "compiling kernels, which are then kept: 20 seconds or so"
            print_lines(self._console, {"once": text})
        self._console = None

    def on_end(self, event: Any) -> None:
        pass


@contextmanager
def announced_compilation(console: Console) -> Iterator[None]:
    """Say in one line if kernels are compiled in the block, which takes long and shows no sign.

    Whether this process compiles them or waits for another one that does.
    """
    announcement = _Announcement(console)
    with (
        event.install_listener("numba:compile", announcement),
        event.install_listener(WAITING, announcement),
    ):
        yield
