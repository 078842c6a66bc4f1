"""Markdown, and what a reader must know of the machine."""

import os
import platform
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from tests.performance.figures import Row

PACKAGES = (
    "qhybrid", "torch", "numba", "numpy", "qiskit", "qiskit-aer", "qiskit-machine-learning",
    "pennylane", "pennylane-lightning", "jax",
)  # fmt: skip


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def figures_table(rows: Iterable[Row]) -> str:
    """Return the table of figures and bars; of two times the first is ours."""
    verdict = {True: "yes", False: "**no**", None: ""}
    return markdown(
        ("figure", "measured", "ratio", "bar", "met"),
        [(r.figure, r.measured, r.ratio, r.bar, verdict[r.met]) for r in rows],
    )


def replace_block(page: Path, name: str, text: str) -> None:
    """Put a text between the marks `<!-- NAME -->` and `<!-- /NAME -->` of a page.

    Raises:
        ValueError: The page does not have the marks.
    """
    before, first, rest = page.read_text().partition(f"<!-- {name} -->")
    _, last, after = rest.partition(f"<!-- /{name} -->")
    if not (first and last):
        raise ValueError(f"{page} has no block between <!-- {name} --> and <!-- /{name} -->")
    page.write_text(f"{before}{first}\n{text}\n{last}{after}")


class OtherWork:
    """What other processes took of the processors since this object was made."""

    def __init__(self) -> None:
        self._start = _processor_seconds()

    def share(self) -> float | None:
        """Return the part of all processors' time, or None where the system does not tell."""
        now = _processor_seconds()
        if now is None or self._start is None:
            return None
        all_s, busy_s, own_s = (b - a for a, b in zip(self._start, now, strict=True))
        # The two clocks tick apart: over a short time the quotient may leave [0, 1].
        return min(1.0, max(0.0, busy_s - own_s) / max(all_s, 1e-9))


def _processor_seconds() -> tuple[float, float, float] | None:
    """Return seconds of all processors: in total, busy, and busy for this process's family."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    # user, nice, system, idle, waiting, interrupts (2), stolen; guests are within the first two.
    ticks = [int(field) for field in first.split()[1:9]]
    hertz = os.sysconf("SC_CLK_TCK")
    total, idle = sum(ticks) / hertz, sum(ticks[3:5]) / hertz
    return total, total - idle, sum(os.times()[:4])


def machine(others: OtherWork | None = None) -> str:
    """Return one paragraph: date, processor, system, versions, and how idle the machine was."""
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    share = None if others is None else others.share()
    load = "" if share is None else f"; other processes took {share:.0%} of the processors' time"
    return (
        f"{when}; {_processor()}, {usable} cores, {_memory()}, {torch.get_num_threads()} threads; "
        f"GPU: {gpu}; Python {platform.python_version()}, {versions}{load}."
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    """Return the model with its number, which tells a name like "AMD EPYC" from the next."""
    try:
        fields = dict(
            (part.strip() for part in line.split(":", 1))
            for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
            if ":" in line
        )
    except OSError:
        return platform.processor() or platform.machine()
    wide = "AVX-512" if "avx512f" in fields.get("flags", "") else "no AVX-512"
    model = f"family {fields.get('cpu family', '?')} model {fields.get('model', '?')}"
    return f"{fields.get('model name', platform.machine())} ({model}, {wide})"


def _memory() -> str:
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
