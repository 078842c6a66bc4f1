"""Runs commands in processes that are killed at a chosen file operation or moment."""

import atexit
import ctypes
import gc
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
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
        operations: A letter for each file operation, where it was not killed: `w` for those that
            can be made by half.
        seconds: How long it took.
        output: What it printed.
    """

    code: int
    operations: str
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
    fresh: bool = False,
) -> Ended:
    """Run a command of qhybrid in a process of its own.

    Args:
        arguments: Of the command line.
        folder: Where it is run; operations on files in it are counted.
        at: Number, from 1, of the operation in whose place the process is killed; -1 for none.
        torn: Kill in the middle of it where it writes.
        after: Seconds after which the process is killed.
        fresh: Start Python for it, as a user does, instead of forking this process, which has
            imported the packages.
    """
    log = folder.with_suffix(".log")
    counts, tell = os.pipe()
    started = time.perf_counter()
    if fresh:
        child = _started(arguments, folder, log, tell, at, torn)
    else:
        child = _forked(arguments, folder, log, tell, at, torn)
    os.close(tell)
    if after is not None:
        time.sleep(max(0.0, after - (time.perf_counter() - started)))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds = time.perf_counter() - started
    with os.fdopen(counts) as told:
        operations = told.read()
    _import_those_of(log)
    return Ended(os.waitstatus_to_exitcode(status), operations, seconds, log.read_text())


def warm_up() -> None:
    """Make what every forked process would make again, and nothing that is qhybrid's.

    Matplotlib's parser of formulas takes a quarter of a short training. Objects that are there now
    are left alone by the garbage collector, so that forked processes share their memory.
    """
    from matplotlib.mathtext import MathTextParser

    MathTextParser("agg").parse("$10^{0}$")
    gc.collect()
    gc.freeze()


def _import_those_of(log: Path) -> None:
    """Import the modules that a command imported, so that the next one need not."""
    listed = log.with_suffix(".modules")
    if listed.exists():
        for name in listed.read_text().split():
            with suppress(Exception):  # some come into being otherwise
                importlib.import_module(name)
        listed.unlink()


def _forked(
    arguments: Sequence[str], folder: Path, log: Path, tell: int, at: int, torn: bool
) -> int:
    """Fork a process that runs the command, and return its number."""
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise RuntimeError(f"{threads} threads: a process that is forked would lack all but one")
    child = os.fork()
    if child:
        return child
    code, before = 70, set(sys.modules)
    try:
        library = _arm(folder, log, at, torn)
        code = _main()(list(arguments))
        os.write(tell, library.halvable())
        listed = sorted(set(sys.modules) - before)
        log.with_suffix(".modules").write_text("\n".join(listed), encoding="utf-8")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _started(
    arguments: Sequence[str], folder: Path, log: Path, tell: int, at: int, torn: bool
) -> int:
    """Start Python to run the command, and return the number of its process."""
    os.set_inheritable(tell, True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    numbers = map(str, (tell, at, int(torn)))
    command = [sys.executable, __file__, str(folder), str(log), *numbers, *arguments]
    return os.spawnve(os.P_NOWAIT, sys.executable, command, environment)


def _begin(folder: str, log: str, tell: str, at: str, torn: str, *arguments: str) -> None:
    """Be the process that `_started` starts; what is done when Python ends is killed as well."""
    library = _arm(Path(folder), Path(log), int(at), bool(int(torn)))
    atexit.register(lambda: os.write(int(tell), library.halvable()))
    sys.argv[1:] = arguments
    sys.exit(_main()())


def _main() -> Callable[..., int]:
    from qhybrid.cli.main import main

    return main


def _arm(folder: Path, log: Path, at: int, torn: bool) -> ctypes.CDLL:
    """Go to the folder, print into the log, and count from now on."""
    shown = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.chdir(folder)
    os.dup2(shown, 1)
    os.dup2(shown, 2)
    library = ctypes.CDLL(os.environ[LIBRARY])
    library.halvable.restype = ctypes.c_char_p
    library.arm(os.fsencode(folder), ctypes.c_long(at), ctypes.c_int(torn))
    return library


if __name__ == "__main__":
    _begin(*sys.argv[1:])
