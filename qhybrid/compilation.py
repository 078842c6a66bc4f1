from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event
from rich.console import Console


class _Announcement(event.Listener):  # type: ignore[misc]
    def __init__(self, console: Console) -> None:
        self._console: Console | None = console

    def on_start(self, event: Any) -> None:
        if self._console is not None:
            self._console.print("[bold]    once[/bold]  ", end="")
            self._console.print(
                "compiling the simulator's kernels, which are then kept: about half a minute",
                highlight=False,
                soft_wrap=True,
            )
        self._console = None

    def on_end(self, event: Any) -> None:
        pass


@contextmanager
def announced_compilation(console: Console) -> Iterator[None]:
    """Say in one line if kernels are compiled in the block, which takes long without a sign of it.

    Args:
        console: Where to.
    """
    with event.install_listener("numba:compile", _Announcement(console)):
        yield
