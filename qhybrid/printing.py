"""What long commands print: lines that begin with a name, and bars."""

from collections.abc import Mapping

from rich import progress
from rich.console import Console


def print_lines(console: Console, lines: Mapping[str, str], width: int = 8) -> None:
    """Print a line for each text, its name in front, right-aligned in `width` columns."""
    for name, text in lines.items():
        console.print(f"[bold]{name:>{width}}[/bold]  ", end="")
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def print_heading(console: Console | None, text: str) -> None:
    """Print what the lines to come are about, if there is a console."""
    if console is not None:
        console.print(text, style="bold", highlight=False, markup=False, soft_wrap=True)


def progress_bar(
    console: Console, after_count: progress.ProgressColumn, last: progress.ProgressColumn
) -> progress.Progress:
    """Return a bar that is shown on a terminal alone: task, bar, count, a column, time, another."""
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=24),
        progress.MofNCompleteColumn(),
        after_count,
        progress.TimeRemainingColumn(compact=True),
        progress.TextColumn("left"),
        last,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
