"""A list of records as a table for people, as Markdown, or as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import typer

Format = Literal["table", "md", "json"]

PIPE_WIDTH = 1000
"""Columns where there is no terminal: a table that is read by a program is not wrapped."""

LEAST_WIDTH = 80
"""Columns of a terminal that is narrower: the terminal wraps what would have to be left out."""

HEADINGS = {"num_classes": "classes"}
"""Fields whose heading is not their name."""


def show_table(
    records: Sequence[Mapping[str, Any]], columns: Sequence[str], output_format: Format
) -> None:
    """Print records: these columns as a table, or all of their fields as JSON."""
    if output_format == "json":
        typer.echo(json.dumps(list(records), indent=2))
        return
    headings = [HEADINGS.get(column, column).replace("_", " ") for column in columns]
    rows = [[_cell(record[column]) for column in columns] for record in records]
    numeric = [all(_is_number(record[column]) for record in records) for column in columns]
    if output_format == "md":
        _print_markdown(headings, rows, numeric)
    else:
        _print_table(headings, rows, numeric)


def _print_table(headings: list[str], rows: list[list[str]], numeric: list[bool]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, right in zip(headings, numeric, strict=True):
        if right:
            table.add_column(heading.replace(" ", "\n"), justify="right", no_wrap=True)
        else:
            table.add_column(heading, no_wrap=heading == headings[0], overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.width = max(console.width, LEAST_WIDTH) if console.is_terminal else PIPE_WIDTH
    with console.capture() as capture:
        console.print(table, highlight=False, markup=False)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())


def _print_markdown(headings: list[str], rows: list[list[str]], numeric: list[bool]) -> None:
    rule = ["---:" if right else "---" for right in numeric]
    for row in [headings, rule, *rows]:
        typer.echo("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)
