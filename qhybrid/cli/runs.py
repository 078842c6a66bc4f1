"""`qhybrid runs` and `qhybrid show`: what was trained, and what it draws."""

from pathlib import Path
from typing import Annotated, Literal

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
            "dataset": each.dataset and each.dataset.removeprefix(f"{Path.cwd()}/"),
            "loss": None if each.loss is None else float(f"{each.loss:.4g}"),
            "figures": ", ".join(f"{k} {v:.4g}" for k, v in (each.figures or {}).items()) or None,
        }
        for each in found
    ]
    columns = ("run", "state", "model", "dataset", "step", "loss", "figures")
    show_table(rows, columns, output_format, ("dataset", "model", "step"))
    for each in found:
        if each.problem is not None:
            typer.echo(f"note: {each.problem}", err=True)


def show(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|SAMPLING|FILE.png", help="A run, or what it drew.")
    ],
    viewer: Annotated[
        bool, typer.Option("--open", help="Open the picture in the desktop's viewer.")
    ] = False,
    form: Annotated[
        Literal["sixel", "blocks", "text"] | None,
        typer.Option(
            "--as",
            help="sixel, blocks (in colour) or text (shades) [what the terminal is known to show].",
            show_choices=False,
        ),
    ] = None,
) -> None:
    """Show the newest picture of what a run draws, in the terminal.

    Without a terminal, or with NO_COLOR set, in shades of text.
    """
    import os
    import shutil
    import sys

    from qhybrid.cli.pictures import colored, picture_of, shaded, shows_sixels, sixel

    path = picture_of(run)
    if viewer:
        typer.launch(str(path))
    else:
        if form is None:
            plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR")
            form = "text" if plain else "sixel" if shows_sixels(os.environ) else "blocks"
        draw = {"sixel": sixel, "blocks": colored, "text": shaded}[form]
        # Asked for by name, colours reach a file or `less -R`, too.
        typer.echo(draw(path, shutil.get_terminal_size().columns), color=form != "text")
    typer.echo(str(path))
