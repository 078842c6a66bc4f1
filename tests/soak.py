"""Train and sample for a long time, and say whether memory, files, threads or caches grow.

    python -m tests.soak --minutes 30 --steps 1000      # training, then sampling on aer:fake_fez

Resident memory is measured after each epoch, and after each sampling of ten steps; what comes after
the first fifth, the warm-up, must stay within five percent. Exit code 1 where something grew.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GROWTH = 0.05
"""Share of the memory after the warm-up that it may grow by."""


@dataclass(frozen=True)
class Usage:
    """What a process holds.

    Attributes:
        bytes: Resident memory.
        files: Open file descriptors.
        threads: Threads.
    """

    bytes: int
    files: int
    threads: int


def usage() -> Usage:
    """Measure this process."""
    gc.collect()
    process = Path("/proc/self")
    pages = int((process / "statm").read_text().split()[1])
    files, threads = (len(os.listdir(process / name)) for name in ("fd", "task"))
    return Usage(pages * os.sysconf("SC_PAGE_SIZE"), files, threads)


def growth(measured: Sequence[Usage]) -> str:
    """Return what grew after the warm-up, "" if nothing did."""
    after = measured[len(measured) // 5 :]
    first, last = after[0], max(after[-3:], key=lambda each: each.bytes)
    grown = [name for name in ("files", "threads") if getattr(last, name) > getattr(first, name)]
    if last.bytes > (1 + GROWTH) * first.bytes:
        grown.insert(0, f"memory by {100 * (last.bytes / first.bytes - 1):.1f} %")
    return ", ".join(grown)


def repeated(work: Callable[[], Any], *, times: int = 10**9, seconds: float = 1e9) -> list[Usage]:
    """Do work again and again, and measure after each time."""
    measured, began = [], time.monotonic()
    while len(measured) < times and time.monotonic() - began < seconds:
        work()
        measured.append(usage())
    return measured


def settings(folder: Path, model: str, backend: str) -> list[str]:
    """Return the command that trains a small model for one epoch more each time."""
    return [
        *("train", "--model", model, "--classes", "0,1", "--out", str(folder), "--device", "cpu"),
        *("--set", "data.limit=64", "--set", "training.batch_size=16", "--backend", backend),
        *("--set", "sampling.num_images=1", "--set", "sampling.steps=1"),
        *("--set", "model.ansatz_layers=1", "--set", "training.keep_checkpoints=1"),
    ]


def trained(folder: Path, model: str, backend: str) -> Callable[[], None]:
    """Return what trains a run by one epoch more, by the command line, in this process."""
    from qhybrid.cli.main import main

    epochs = 0

    def work() -> None:
        nonlocal epochs
        epochs += 1
        more = ["train", "--resume", "--out", str(folder), "--epochs", str(epochs)]
        first = [*settings(folder, model, backend), "--epochs", "1"]
        if main(first if epochs == 1 else more):
            raise RuntimeError("training failed")

    return work


def sampled(run: Path, backend: str, steps: int = 10) -> Callable[[], None]:
    """Return what draws an image in some steps, by the command line, in this process."""
    from qhybrid.cli.main import main

    command = ["sample", str(run), "--num-images", "1", "--backend", backend]

    def work() -> None:
        if main([*command, "--sampler", "ddim", "--steps", str(steps)]):
            raise RuntimeError("sampling failed")

    return work


def main() -> int:
    """Print a table; return 1 where something grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=30, help="of training")
    parser.add_argument("--steps", type=int, default=1000, help="of sampling, in all")
    parser.add_argument("--model", default="1hqconv-qvunet")
    parser.add_argument("--backend", default="aer:fake_fez", help="of sampling")
    asked = parser.parse_args()
    grown = 0
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        rows = {
            "training": (trained(run, asked.model, "statevector"), 10**9, 60 * asked.minutes),
            f"sampling on {asked.backend}": (sampled(run, asked.backend), asked.steps // 10, 1e9),
        }
        print("| what | times | MB after warm-up | MB at the end | grew |")
        print("| --- | ---: | ---: | ---: | --- |")
        for what, (work, times, seconds) in rows.items():
            measured = repeated(work, times=times, seconds=seconds)
            warm, said = measured[len(measured) // 5], growth(measured) or "nothing"
            sizes = (f"{each.bytes / 1e6:.0f}" for each in (warm, measured[-1]))
            print("|", " | ".join([what, str(len(measured)), *sizes, said]), "|", flush=True)
            grown += said != "nothing"
    return int(grown > 0)


if __name__ == "__main__":
    sys.exit(main())
