"""Where commands that make one text put it, and what they show while they work."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer


def destination_of(out: Path | None, what: str) -> Path | None:
    """Return the file that a text goes to, None for standard output.

    Raises:
        RequestError: It cannot be written.
    """
    from qhybrid.files import user_path
    from qhybrid_circuits.files import writable

    if out is None:
        return None
    instead = (
        "give --out the path of a file in a folder that takes one, or leave it out to see the "
        f"{what}"
    )
    writable(user_path(out), instead)
    return user_path(out)


def write_out(text: str, out: Path | None, destination: Path | None, what: str) -> None:
    """Print a text, or write it to a file and say so.

    Raises:
        WriteError: The disk is full, or the folder cannot be written to.
    """
    from qhybrid.files import write_text
    from qhybrid_circuits.errors import WriteError

    if destination is None:
        typer.echo(text, nl=False)
        return
    try:
        write_text(destination, text)
    except WriteError as error:
        raise WriteError(f"{error}; give another --out: what was computed is remembered") from error
    typer.echo(f"{what}  {out}")


def terminal_width(out: Path | None) -> int | None:
    """Return the columns of the terminal that is written to, None where there is none."""
    if out is not None or not sys.stdout.isatty():
        return None
    return max(80, shutil.get_terminal_size().columns)


@contextmanager
def telling(*, long: bool, in_place: bool = True) -> Iterator[Callable[[str], None]]:
    """Show on standard error what is being worked on: in place on a terminal, else line by line.

    Without a terminal, only work that is long is told of.
    """
    if not (in_place and sys.stderr.isatty()):
        yield lambda text: typer.echo(text, err=True) if long else None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(f"{text} ...")
