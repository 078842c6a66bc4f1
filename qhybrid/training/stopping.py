"""Ctrl-C, SIGTERM and SIGUSR1: finish the step, save, and say how to resume.

SLURM sends SIGUSR1 some time before a job's end, where a job asks for it.
"""

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from qhybrid.run_folder import Run
from qhybrid.signals import handling
from qhybrid.training.outcome import Interrupted

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


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

    def listening(self) -> AbstractContextManager[None]:
        """Take the signals for the time of a block; only the main thread can."""
        return handling(SIGNALS, self._note)

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
