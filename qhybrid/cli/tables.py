"""A list of records as a table for people, as Markdown, or as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import typer

Format = Literal["table", "md", "json"]

PIPE_WIDTH = 1000
"""Columns where there is no terminal: a table that is read by a program is not wrapped."""

LEAST_WIDTH = 80
"""Columns of a terminal that is narrower: the terminal wraps what would have to be left out."""

LEAST_TEXT = 26
"""Columns that texts are wrapped to; where there are fewer, others are left out for them."""

GAP = 2
"""Columns of the terminal between two of a table."""

HEADINGS = {"num_classes": "classes"}
"""Fields whose heading is not their name."""


def show_table(
    records: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    output_format: Format,
    spare: Sequence[str] = (),
) -> None:
    """Print records: these columns as a table, or all of their fields as JSON.

    Args:
        records: Rows, which may have more fields.
        columns: Fields that are shown.
        output_format: How to print.
        spare: Columns that a terminal too narrow for all goes without, in this order.
    """
    if output_format == "json":
        typer.echo(json.dumps(list(records), indent=2))
        return
    shown = [_column(records, column, column == columns[0]) for column in columns]
    if output_format == "md":
        _print_markdown(shown)
        return
    kept, left = _fitting(shown, [_heading(column) for column in spare], _width())
    _print_table(kept, _width())
    if left:
        typer.echo(
            f"left out to fit the terminal: {', '.join(left)}; --format md has all", err=True
        )


class _Column(NamedTuple):
    heading: str
    cells: list[str]
    numeric: bool
    first: bool

    @property
    def longest(self) -> int:
        """Columns of the terminal that its longest line takes."""
        heading = self.heading.split() if self.numeric else [self.heading]
        return max(map(len, [*self.cells, *heading]))

    @property
    def least(self) -> int:
        """Columns that it needs: names and numbers stay whole, texts are wrapped."""
        whole = self.numeric or self.first
        return self.longest if whole else max(min(self.longest, LEAST_TEXT), len(self.heading))


def _column(records: Sequence[Mapping[str, Any]], name: str, first: bool) -> _Column:
    values = [record[name] for record in records]
    cells = [_cell(value) for value in values]
    return _Column(_heading(name), cells, all(map(_is_number, values)), first)


def _heading(column: str) -> str:
    return HEADINGS.get(column, column).replace("_", " ")


def _width() -> int:
    from rich.console import Console

    console = Console()
    return max(console.width, LEAST_WIDTH) if console.is_terminal else PIPE_WIDTH


def _rest(columns: Sequence[_Column], width: int) -> int:
    """Return how much room columns leave, below 0 where it is too little."""
    return width - sum(column.least for column in columns) - GAP * (len(columns) - 1)


def _fitting(
    columns: list[_Column], spare: Sequence[str], width: int
) -> tuple[list[_Column], list[str]]:
    """Return the columns that a terminal has room for, and the headings of the others."""
    left: list[str] = []
    kept = columns
    while _rest(kept, width) < 0 and len(left) < len(spare):
        left.append(spare[len(left)])
        kept = [column for column in columns if column.heading not in left]
    return kept, left


def _shares(columns: list[_Column], width: int) -> list[int] | list[None]:
    """Return the width of each column: texts that want little more get it first."""
    rest = _rest(columns, width)
    if rest < 0:
        return [None] * len(columns)  # rich's own choice, which shortens all
    shares = [column.least for column in columns]
    for index in sorted(range(len(columns)), key=lambda i: columns[i].longest - shares[i]):
        more = min(rest, columns[index].longest - shares[index])
        shares[index] += more
        rest -= more
    return shares


def _print_table(columns: list[_Column], width: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, share in zip(columns, _shares(columns, width), strict=True):
        if column.numeric:
            heading = column.heading.replace(" ", "\n")
            table.add_column(heading, justify="right", no_wrap=True, width=share)
        else:
            table.add_column(column.heading, no_wrap=column.first, overflow="fold", width=share)
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table, highlight=False, markup=False)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())


def _print_markdown(columns: list[_Column]) -> None:
    headings = [column.heading for column in columns]
    rule = ["---:" if column.numeric else "---" for column in columns]
    for row in [headings, rule, *zip(*(column.cells for column in columns), strict=True)]:
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
