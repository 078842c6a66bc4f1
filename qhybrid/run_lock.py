"""One process a folder at a time."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from itertools import chain
from pathlib import Path

from qhybrid.files import clear_leftovers
from qhybrid.run_folder import check_free, claim_folder, claim_next, numbered, unused_runs
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.locks import try_lock


@contextmanager
def occupied(
    folder: Path | None, doing: str, *, root: Path, stem: str, resumed: Path | None = None
) -> Iterator[Path]:
    """Claim a folder for new output, and keep other processes from it for the time of the block.

    A folder that was made here, and is empty when the block raises, is removed again.

    Args:
        folder: Where to; None takes the next free `root/STEM-N`, or the last one where a process
            was killed before it wrote anything.
        doing: What is done there, for messages, e.g. "sampling into".
        root: See above.
        stem: See above.
        resumed: The folder to go on in, which is claimed already.

    Raises:
        RequestError: It has something in it, cannot be created, or another process has it.
    """
    made = resumed is None and (folder is None or not folder.exists())
    with ExitStack() as stack:
        claimed = resumed if folder is None else resumed or claim_folder(folder)
        if claimed is None:
            claimed = _first_free(stack, root, stem, doing)
        else:
            stack.enter_context(locked(claimed, doing))
        try:
            if resumed is None:
                check_free(claimed)
                for left in unused_runs(claimed):
                    left.rmdir()
            clear_leftovers(claimed)
            yield claimed
        except BaseException:
            if made:
                with suppress(OSError):  # what has something in it stays
                    claimed.rmdir()
                    if folder is None:
                        root.rmdir()
            raise


def _first_free(stack: ExitStack, root: Path, stem: str, doing: str) -> Path:
    """Return a folder that is empty and locked: the last there is, or else a new one."""
    last = [each for each in [*numbered(root, stem).values()][-1:] if not each.is_symlink()]
    for folder in chain(last, iter(lambda: claim_next(root, stem), None)):
        with ExitStack() as kept, suppress(RequestError):  # another process may be quicker
            check_free(folder)
            kept.enter_context(locked(folder, doing))
            check_free(folder)
            stack.enter_context(kept.pop_all())
            break
    return folder


@contextmanager
def locked(folder: Path, doing: str = "training the run") -> Iterator[None]:
    """Keep other processes from a folder for the time of the block.

    The system gives the lock up with the process, however that ends, and no file is left behind.

    Raises:
        RequestError: Another process has the folder, or has removed it.
    """
    if sys.platform == "win32":  # which opens no folders
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError as error:
        raise _held(folder, doing) from error
    try:
        # The process that had it may have failed, and taken it away.
        if not try_lock(descriptor) or not os.path.exists(folder):
            raise _held(folder, doing)
        yield
    finally:
        os.close(descriptor)


def _held(folder: Path, doing: str) -> RequestError:
    holder = _holder(folder)
    if holder is None:
        who = "another process"
    else:
        number, begun = holder
        who = f"process {number}, begun at {datetime.fromtimestamp(begun):%Y-%m-%d %H:%M},"
    return RequestError(
        f"{who} is {doing} '{folder}'; wait until it ends, or take another folder with --out"
    )


def _holder(folder: Path) -> tuple[int, float] | None:
    """Return the process that has a folder, and when it began in seconds since 1970.

    None where the system does not tell: it is not Linux, or the process is in another container.
    """
    try:
        found = folder.stat()
        device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        locks = (line.split() for line in Path("/proc/locks").read_text().splitlines())
        number = next(int(lock[4]) for lock in locks if lock[1] == "FLOCK" and lock[5] == device)
        # The name of the program, which may have blanks, ends with the last parenthesis.
        stat = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        boot = next(re.finditer(r"^btime (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE))
        return number, int(boot[1]) + int(stat[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None
