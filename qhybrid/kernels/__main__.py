"""Compile kernels for the process that started this one, until it ends: see `beside`."""

import os
import signal
import sys
from collections.abc import Callable
from threading import Thread

from qhybrid.files import write_text
from qhybrid.kernels.beside import CIRCUITS, IMAGES, record_file
from qhybrid_circuits.locks import one_at_a_time


def _of_circuits() -> str:
    from qhybrid_runtime.engine.cpu.ahead import compile_kernels
    from qhybrid_runtime.engine.cpu.tasks import run_values

    compile_kernels()
    return str(run_values.stats.cache_path)


def _of_images() -> str:
    from qhybrid.models.fused.ahead import compile_kernels
    from qhybrid.models.fused.norm_kernels import activate

    compile_kernels()
    return str(activate.stats.cache_path)


COMPILE: dict[str, Callable[[], str]] = {CIRCUITS: _of_circuits, IMAGES: _of_images}
"""What there are kernels for -> function that compiles them, and returns where they are."""


def main(kinds: list[str]) -> None:
    """Compile the kernels of each kind, unless a process does already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one.
    Thread(target=_end_with_parent, daemon=True).start()
    for kind in kinds:
        record = record_file(kind)
        if record is None:
            continue
        record.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(record.with_suffix(".lock"), 0) as alone:
            if alone:
                write_text(record, COMPILE[kind]())


def _end_with_parent() -> None:
    # Not through `sys.stdin`, whose lock the interpreter needs when it ends.
    os.read(0, 1)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
