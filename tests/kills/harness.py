"""Runs commands in forked processes that are killed at a chosen file operation or moment."""

import ctypes
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("kill_at.c")
LIBRARY = "QHYBRID_KILLS_LIBRARY"


class NoCompiler(Exception):
    """There is no C compiler to build the library with."""


def preloaded(folder: Path) -> dict[str, str]:
    """Compile the library, and return the environment in which Python counts its file operations.

    All is on one thread, as bit for bit equal results need, and what is forked must have no others.

    Raises:
        NoCompiler: There is none.
    """
    library = folder / "kill_at.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError as error:
        raise NoCompiler("no C compiler `cc` is installed") from error
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return {**os.environ, **one, "LD_PRELOAD": str(library), LIBRARY: str(library)}


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code; -9 where it was killed.
        calls: File operations that it made, where it was not killed.
        seconds: How long it took.
        output: What it printed.
    """

    code: int
    calls: int
    seconds: float
    output: str

    @property
    def killed(self) -> bool:
        """Whether it was killed."""
        return self.code == -signal.SIGKILL


def run(
    arguments: Sequence[str],
    folder: Path,
    *,
    at: int = -1,
    torn: bool = False,
    after: float | None = None,
) -> Ended:
    """Run a command of qhybrid in a forked process.

    Args:
        arguments: Of the command line.
        folder: Where it is run; operations on files in it are counted.
        at: Number, from 1, of the operation in whose place the process is killed; -1 for none.
        torn: Kill in the middle of it where it writes.
        after: Seconds after which the process is killed.
    """
    log = folder.with_suffix(".log")
    counts, tell = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if not child:
        _command(arguments, folder, log, tell, at, torn)
    os.close(tell)
    if after is not None:
        time.sleep(max(0.0, after - (time.perf_counter() - started)))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds = time.perf_counter() - started
    with os.fdopen(counts) as told:
        calls = int(told.read() or 0)
    _import_those_of(log)
    return Ended(os.waitstatus_to_exitcode(status), calls, seconds, log.read_text())


def _import_those_of(log: Path) -> None:
    """Import the modules that a command imported, so that the next one need not."""
    listed = log.with_suffix(".modules")
    if listed.exists():
        for name in listed.read_text().split():
            with suppress(Exception):  # some come into being otherwise
                importlib.import_module(name)
        listed.unlink()


def _command(
    arguments: Sequence[str], folder: Path, log: Path, tell: int, at: int, torn: bool
) -> None:
    """Be the forked process: run the command and end."""
    from qhybrid.cli.main import main

    code, before = 70, set(sys.modules)
    try:
        shown = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.chdir(folder)
        os.dup2(shown, 1)
        os.dup2(shown, 2)
        library = ctypes.CDLL(os.environ[LIBRARY])
        library.arm(os.fsencode(folder), ctypes.c_long(at), ctypes.c_int(torn))
        code = main(list(arguments))
        os.write(tell, str(library.counted()).encode())
        listed = sorted(set(sys.modules) - before)
        log.with_suffix(".modules").write_text("\n".join(listed), encoding="utf-8")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
