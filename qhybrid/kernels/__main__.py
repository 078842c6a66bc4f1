"""Compile kernels for the process that started this one, until it ends: see `beside`."""

import os
import signal
import sys
from collections.abc import Callable
from threading import Thread
from typing import Any

from qhybrid.files import write_text
from qhybrid.kernels.beside import CIRCUITS, IMAGES, record_file
from qhybrid_circuits.locks import one_at_a_time


def _of_circuits() -> tuple[Any, Callable[[], None]]:
    from qhybrid_runtime.engine.cpu.ahead import compile_kernels
    from qhybrid_runtime.engine.cpu.tasks import run_values

    return run_values, compile_kernels


def _of_images() -> tuple[Any, Callable[[], None]]:
    from qhybrid.models.fused.ahead import compile_kernels
    from qhybrid.models.fused.norm_kernels import activate

    return activate, compile_kernels


_LOAD = {CIRCUITS: _of_circuits, IMAGES: _of_images}
"""What there are kernels for -> one of them, and the function that compiles all."""


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
                kernel, compile_kernels = _LOAD[kind]()
                if kernel.stats.cache_path is not None:  # None: numba found no folder to keep any.
                    compile_kernels()
                    write_text(record, str(kernel.stats.cache_path))


def _end_with_parent() -> None:
    # Not through `sys.stdin`, whose lock the interpreter needs when it ends.
    os.read(0, 1)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
