"""Files that appear whole: written under a temporary name, then renamed."""

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qhybrid_circuits.errors import RequestError


class InFolder:
    """The path of a file or folder by its name, as an attribute of what has a `folder`."""

    def __init__(self, name: str) -> None:
        """Name it."""
        self.name = name

    def __get__(self, owner: Any, kind: type | None = None) -> Path:
        """Return the path."""
        return Path(owner.folder / self.name)


CORRUPT_NPZ = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError)
"""What numpy and zipfile raise on bytes that are not, or no longer, an npz archive."""


def user_path(path: Path | str) -> Path:
    """A path as a person wrote it, with `~` expanded.

    Raises:
        RequestError: No user has that home folder, or no file can be reached by that name.
    """
    try:
        expanded = Path(path).expanduser()
        expanded.exists()
    except RuntimeError as error:
        raise RequestError(
            f"'{path}' names the home folder of an unknown user; write the path out"
        ) from error
    except OSError as error:
        raise RequestError(
            f"'{path}' cannot be reached: {error.strerror}; check the path"
        ) from error
    return expanded


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; on success it takes the place of `path`.

    A reader sees the old file or the new one, never half of one. If the block raises, the
    temporary file is removed and `path` stays as it was. The suffix is kept, because writers of
    images and arrays choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with an indent of two, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")
