"""`qhybrid runs` and `qhybrid show`: what was trained, and what it draws."""

from pathlib import Path
from typing import Annotated

import typer

from qhybrid.cli.tables import Format, show_table


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", show_default=False)] = Path("runs"),
    output_format: Annotated[
        Format,
        typer.Option("--format", help="How to print: table, md or json.", show_choices=False),
    ] = "table",
) -> None:
    """List the runs in a folder [runs]: state, loss and figures."""
    from qhybrid.run_list import list_runs

    found = list_runs(folder)
    if output_format == "json":
        show_table([each.to_dict() for each in found], (), output_format)
        return
    if not found:
        typer.echo(f"there is no run in '{folder}' yet; `qhybrid train` makes one")
        return
    rows = [
        {
            **each.to_dict(),
            "loss": None if each.loss is None else float(f"{each.loss:.4g}"),
            "figures": ", ".join(f"{k} {v:.4g}" for k, v in (each.figures or {}).items()) or None,
        }
        for each in found
    ]
    columns = ("run", "state", "model", "dataset", "step", "loss", "figures")
    show_table(rows, columns, output_format)


def show(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|SAMPLING|FILE.png", help="A run, or what it drew.")
    ],
    viewer: Annotated[
        bool, typer.Option("--open", help="Open the picture in the desktop's viewer.")
    ] = False,
) -> None:
    """Show the newest picture of what a run draws, in the terminal.

    Without a terminal, or with NO_COLOR set, in shades of text.
    """
    import os
    import shutil
    import sys

    from qhybrid.cli.pictures import colored, picture_of, shaded

    path = picture_of(run)
    if viewer:
        typer.launch(str(path))
    else:
        plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR")
        columns = shutil.get_terminal_size().columns
        typer.echo((shaded if plain else colored)(path, columns), color=not plain)
    typer.echo(str(path))
