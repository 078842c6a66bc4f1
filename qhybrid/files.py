"""What is read and written by its path: whole, checked, and with one line on what is wrong."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from qhybrid_circuits.errors import QHybridError, RequestError
from qhybrid_circuits.files import LEFTOVER, regular
from qhybrid_circuits.files import replacing as replacing

T = TypeVar("T")


class InFolder:
    """The path of a file or folder by its name, as an attribute of what has a `folder`."""

    def __init__(self, name: str) -> None:
        """Name it."""
        self.name = name

    def __get__(self, owner: Any, kind: type | None = None) -> Path:
        """Return the path."""
        return Path(owner.folder / self.name)


_CHECKSUM = "checksum"

_LONGEST = 64_000_000
"""Bytes of a text that is read at once: a thousand times what is written."""


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


def check_links(folder: Path) -> None:
    """Refuse to go on in a folder, maybe somebody else's, where a link leads out of it.

    What is written there would go to wherever the link says.

    Raises:
        RequestError: There is one.
    """
    home = os.path.realpath(folder)
    for path in folder.rglob("*"):
        target = os.path.realpath(path) if path.is_symlink() else home
        if target != home and not target.startswith(home + os.sep):
            raise RequestError(
                f"'{path}' is a link out of the folder, to '{target}'; put what it leads to in "
                "its place"
            )


def clear_leftovers(folder: Path) -> None:
    """Remove what a process that was killed had begun to write, in a folder and the folders in it.

    The caller must keep other processes from it; runs in the folder are left to their own.
    """
    for path in (*folder.glob(LEFTOVER), *folder.glob(f"*/{LEFTOVER}")):
        if path.parent == folder or not (path.parent / "config.toml").exists():
            with suppress(OSError):
                path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all.

    Raises:
        RequestError: A part of the text, e.g. the name of a folder, is not UTF-8.
        WriteError: The disk is full, or the folder cannot be written to.
    """
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        name = ascii(text[max(0, error.start - 40) : error.end])
        raise RequestError(
            f"'{path}' is UTF-8 text, and cannot name {name}; rename that file or folder"
        ) from error
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with an indent of two, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_text(path: Path) -> str:
    """Return the UTF-8 text of a file, if it is one, and not longer than what is written.

    Raises:
        FileKindError: It is a folder, a pipe or the like.
        OSError: It cannot be reached.
        ValueError: It is not UTF-8, or too long.
    """
    size = regular(path).stat().st_size
    if size > _LONGEST:
        raise ValueError(f"it has {size:,} bytes, more than {_LONGEST:,}")
    return path.read_text(encoding="utf-8")


def read_json(path: Path, kind: type[T]) -> T:
    """Return what a JSON file holds, without its checksum, as a type that pydantic knows.

    Whatever a damaged file raises is for `reading`.
    """
    values = json.loads(read_text(path))
    return checked(kind, unsealed(values) if isinstance(values, dict) else values)


def checked(kind: type[T], values: Any) -> T:
    """Return values, such as JSON has, as a type that pydantic knows; nothing is converted.

    Raises:
        ValueError: They are not of that type.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_json(json.dumps(values), strict=True)


@contextmanager
def reading(what: str, remedy: str) -> Iterator[None]:
    """Turn whatever a parser raises into one line, "WHAT (reason); REMEDY".

    Parsers have no common base for what damaged files lead them to.

    Raises:
        RequestError: The block raised any exception.
    """
    try:
        yield
    except QHybridError:
        raise
    except Exception as error:
        raise RequestError(f"{what} ({_reason(error)}); {remedy}") from error


def _reason(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    if callable(errors):  # pydantic's
        first = errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = str(first["msg"]).removeprefix("Value error, ")
        return f"{where}: {said}" if where else said
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return " ".join(str(error).split())[:300] or type(error).__name__


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with a checksum beside them, which `unsealed` compares."""
    return {**values, _CHECKSUM: checksum(values)}


def unsealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values without their checksum; files of earlier versions have none.

    Raises:
        ValueError: They are not those that the checksum was made of.
    """
    content = {key: value for key, value in values.items() if key != _CHECKSUM}
    if _CHECKSUM in values and values[_CHECKSUM] != checksum(content):
        raise ValueError("a part of it has changed: its SHA-256 is not that of what was written")
    return content


def checksum(content: Any) -> str:
    """Return the SHA-256 of nested dictionaries, lists, tensors and plain values, in hexadecimal.

    It is that of the content, not of a format: a dictionary's order is left out, and a tuple is
    the list that JSON makes of it.
    """
    digest = hashlib.sha256()
    for part in _parts(content):
        digest.update(part)
        digest.update(b"\n")
    return digest.hexdigest()


def _parts(content: Any) -> Iterator[Any]:
    if isinstance(content, Mapping):
        yield b"%d keys" % len(content)
        for key in sorted(content, key=repr):
            yield repr(key).encode()
            yield from _parts(content[key])
    elif isinstance(content, list | tuple):
        yield b"%d items" % len(content)
        for item in content:
            yield from _parts(item)
    elif hasattr(content, "untyped_storage"):
        import torch

        yield f"{content.dtype} {tuple(content.shape)}".encode()
        yield content.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    else:
        # numpy's numbers are written as Python's, and read again as those.
        yield repr(float(content) if isinstance(content, float) else content).encode()


def shown(value: object) -> str:
    """Return a value as a message names it: on one line, and not longer than that."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes no number of more than 4,300 digits
        return "too long to be shown"
    return text if len(text) <= 300 else f"{text[:200]}... ({len(text):,} characters)"
