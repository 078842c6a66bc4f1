"""Locks between processes; the system gives a lock up with the process, however that ends."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BETWEEN_LOOKS = 0.02
"""Seconds."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder for this process; False where another process has it.

    Some network file systems have no locks: all is as it would be without. Not for Windows, which
    has none of this kind.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


@contextmanager
def one_at_a_time(
    path: Path, seconds: float, on_wait: Callable[[], None] = lambda: None
) -> Iterator[bool]:
    """Keep other processes from entering a block of the same path while one is in it.

    Args:
        path: A file that is there for the time of the block; where a process was killed it stays,
            and the next one takes it over.
        seconds: How long to wait for another process, at most: one that is stopped keeps its lock.
        on_wait: Called once if there is any need to wait.

    Yields:
        Whether other processes are kept out: not where one was waited for in vain, nor where no
        file can be made, nor on Windows.
    """
    if sys.platform == "win32":  # which has no such locks, and removes no open files
        yield False
        return
    descriptor, waited = _opened(path), False
    until = time.monotonic() + seconds
    while descriptor is not None and not _is_alone(path, descriptor):
        os.close(descriptor)
        descriptor = None
        if time.monotonic() < until:
            if not waited:
                on_wait()
            waited = True
            time.sleep(_BETWEEN_LOOKS)
            descriptor = _opened(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with suppress(OSError):
                path.unlink()
            os.close(descriptor)


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None


def _is_alone(path: Path, descriptor: int) -> bool:
    """Lock the file, unless it was removed by the process that had it until now."""
    if not try_lock(descriptor):
        return False
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:  # It was removed; a network file system may say so in other words.
        return False
