"""Times that can be compared although the machine's speed drifts."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

#: What is quicker than this is called several times a round.
_SHORT = 0.05


def seconds(run: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def interleaved(runs: Mapping[str, Callable[[], Any]], rounds: int = 5) -> dict[str, float]:
    """Return each function's median in seconds; they are called in turn, round after round.

    A first round warms up and is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    calls = {
        name: 5 if min(seconds(run), seconds(run)) < _SHORT else 1 for name, run in runs.items()
    }
    for _ in range(rounds):
        for name, run in runs.items():
            times[name] += [seconds(run) for _ in range(calls[name])]
    return {name: float(np.median(values)) for name, values in times.items()}


def duration(time_s: float) -> str:
    """Return a time for people, in three digits."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if time_s * factor >= 1:
            return f"{time_s * factor:.3g} {unit}" if time_s < 1000 else f"{time_s:,.0f} s"
    return f"{time_s * 1e9:.3g} ns"
