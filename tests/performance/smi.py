"""What nvidia-smi says of a GPU while something is measured."""

import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

_SMI = ("name", "utilization.gpu", "memory.used", "power.draw", "clocks.sm", "temperature.gpu")


@contextmanager
def watched_gpu() -> Iterator[list[list[str]]]:
    """Ask nvidia-smi every second for the time of a block; its answers go into the list."""
    seen: list[list[str]] = []
    program, done = shutil.which("nvidia-smi"), threading.Event()
    if program is None:
        yield seen
        return
    command = [program, f"--query-gpu={','.join(_SMI)}", "--format=csv,noheader,nounits", "--id=0"]

    def watch() -> None:
        while not done.wait(1.0):
            with suppress(OSError, subprocess.SubprocessError):
                found = subprocess.run(command, capture_output=True, text=True, timeout=10)
                seen.append([part.strip() for part in found.stdout.strip().split(",")])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def summary(seen: Sequence[Sequence[str]]) -> str:
    """Return the largest of each figure in the answers of `watched_gpu`."""
    whole = [each for each in seen if len(each) == len(_SMI)]
    if not whole:
        return "nvidia-smi: absent, or the part was over at once"
    largest = [max(_number(each[i]) for each in whole) for i in range(1, len(_SMI))]
    use, memory, power, clock, heat = largest
    return (
        f"{whole[0][0]}: at most {use:.0f}% busy, {memory:.0f} MiB, {power:.0f} W, "
        f"{clock:.0f} MHz, {heat:.0f} °C"
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # "[N/A]"
        return float("nan")
