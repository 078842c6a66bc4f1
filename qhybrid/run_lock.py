"""One process a folder at a time."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qhybrid_circuits.errors import RequestError


@contextmanager
def locked(folder: Path, doing: str = "training the run") -> Iterator[None]:
    """Keep other processes from a folder for the time of the block.

    The system gives the lock up with the process, however that ends, and no file is left behind.

    Raises:
        RequestError: Another process has the folder.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RequestError(
                f"another process is {doing} '{folder}'; wait until it ends, or take another "
                "folder with --out"
            ) from error
        except OSError:
            pass  # Some network file systems have no locks; a run there is as it would be without.
        yield
    finally:
        os.close(descriptor)
