"""Seconds spent in training steps, without those spent in saving and sampling."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """A clock that can be paused."""

    def __init__(self) -> None:
        """Start now."""
        self._started = time.perf_counter()
        self._paused = 0.0

    @property
    def seconds(self) -> float:
        """Return the seconds since the start, pauses left out."""
        return time.perf_counter() - self._started - self._paused

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time that the block takes."""
        since = time.perf_counter()
        try:
            yield
        finally:
            self._paused += time.perf_counter() - since


class Pace:
    """Steps per second since the last time it was asked."""

    def __init__(self, clock: Stopwatch, step: int) -> None:
        """Begin at a step."""
        self._clock = clock
        self._step, self._seconds = step, clock.seconds

    def lap(self, step: int) -> float:
        """Return the steps per second since the last lap; the next lap begins at this step."""
        steps, seconds = step - self._step, self._clock.seconds - self._seconds
        self._step, self._seconds = step, self._clock.seconds
        return steps / max(seconds, 1e-9)
