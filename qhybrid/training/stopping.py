"""Ctrl-C and SIGTERM: finish the step, save, and say how to resume."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from qhybrid.run_folder import Run
from qhybrid.training.outcome import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """Whether someone asked to stop.

    The first signal is noted, and acted on between two steps. A second one, should a step take
    long, stops at once and gives up the steps since the last checkpoint; while a checkpoint is
    being written it does nothing.
    """

    def __init__(self, run: Run) -> None:
        """Listen to nothing yet; see `listening`."""
        self.requested = False
        self._run, self._saving = run, False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals for the time of the block; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Let no signal interrupt the block."""
        self._saving = True
        try:
            yield
        finally:
            self._saving = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested and not self._saving:
            raise Interrupted(self._run.newest_step(), self._run.folder, at_once=True)
        self.requested = True
