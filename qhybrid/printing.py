"""What long commands print: lines that begin with a name, and bars."""

from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


def print_lines(console: Console, lines: Mapping[str, str], width: int = 8) -> None:
    """Print a line for each text, its name in front, right-aligned in `width` columns."""
    for name, text in lines.items():
        console.print(f"[bold]{name:>{width}}[/bold]  ", end="")
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def progress_bar(console: Console, after_count: ProgressColumn, last: ProgressColumn) -> Progress:
    """Return a bar that is shown on a terminal alone: task, bar, count, a column, time, another."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        after_count,
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        last,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
