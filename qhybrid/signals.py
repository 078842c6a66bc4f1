"""Take signals for the time of a block."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def handling(
    numbers: Sequence[signal.Signals],
    handler: Callable[[int, FrameType | None], Any] | signal.Handlers,
) -> Iterator[None]:
    """Have signals handled by a function for the time of the block; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, usual in before.items():
            # None is a handler that Python did not set.
            signal.signal(number, signal.SIG_DFL if usual is None else usual)


_AGAIN_SECONDS = 0.05
"""How long an import is given before it is looked for again."""

_TOLD_AFTER = 10
"""Looks after which the user is told what is waited for."""

_looks = 0


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as Python does on Ctrl-C, but after an import that is going on.

    Libraries in C++ end the process, without a line, where it is raised while they are loaded.
    """
    global _looks
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _looks += 1
            if _looks == _TOLD_AFTER:
                print("stopping as soon as libraries are loaded", file=sys.stderr)  # noqa: T201
            again = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt
