"""Files that are read only if they are files, and files that appear whole."""

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qhybrid_circuits.errors import FileKindError, QHybridError, WriteError

LEFTOVER = f".{'?' * 8}.part*"
"""Pattern of the names of files that are not whole yet, or were not when the process ended."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def regular(path: Path) -> Path:
    """Return a path that can be read to its end: that of a file, or of a link to one.

    To open a pipe would wait for its writer, and a device may have no end.

    Raises:
        FileKindError: It is something else.
        OSError: There is nothing, or it cannot be reached.
    """
    _check_kind(path, os.stat(path), "put the file itself there")
    return path


def replaceable(path: Path, instead: str = "give the path of a file") -> Path:
    """Return the file that takes the place of a path: links are followed, and stay.

    Raises:
        FileKindError: Something else than a file is there, or it cannot be reached; `instead` says
            what to do.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return Path(os.path.realpath(path))
    except OSError as error:
        raise FileKindError(f"'{path}' cannot be reached: {error.strerror}; {instead}") from error
    _check_kind(path, found, instead)
    if _is_stream(found):
        raise FileKindError(
            f"'{path}' is a standard stream of this command, and would be lost; {instead}"
        )
    return Path(os.path.realpath(path))


def writable(path: Path, instead: str) -> Path:
    """Return what `replaceable` does, if the folder, or the one to make it in, takes files.

    Raises:
        FileKindError: As there, or that folder cannot be written to.
    """
    target = replaceable(path, instead)
    folder = next(each for each in target.parents if each.exists())
    try:
        # Permissions do not tell: root has them all, also where the system takes nothing.
        with tempfile.TemporaryFile(dir=folder):
            return target
    except OSError as error:
        raise FileKindError(
            f"'{path}' cannot be written: {error.strerror} ('{folder}'); {instead}"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name what the block writes where the disk, or the folder, refuses it.

    Raises:
        WriteError: The block raised an OSError.
    """
    try:
        yield
    except QHybridError:
        raise
    except OSError as error:
        raise WriteError(f"cannot write '{path}': {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside a file to write to; on success it takes the file's place.

    A reader sees the old file or the new one, never half of one. If the block raises, the
    temporary file is removed and the old one stays. The suffix is kept, because writers of images
    and arrays choose the format by it.

    Raises:
        FileKindError: Something else than a file is there.
        WriteError: The disk is full, or the folder cannot be written to.
    """
    with writing(path):
        target = replaceable(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{secrets.token_hex(4)}.part{target.suffix}")
        try:
            yield temporary
            os.replace(temporary, target)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _check_kind(path: Path, found: os.stat_result, instead: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise FileKindError(f"'{path}' is {kind}, not a file; {instead}")


def _is_stream(found: os.stat_result) -> bool:
    for descriptor in range(3):
        with suppress(OSError):  # a stream that is closed
            if os.path.samestat(found, os.fstat(descriptor)):
                return True
    return False
