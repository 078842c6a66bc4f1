"""A report in each of its formats."""

import io
import json
from collections.abc import Sequence
from typing import Literal

from qhybrid.report.build import Report
from qhybrid.report.remarks import hints, remarks
from qhybrid.report.sections import Section, headline, sections

Format = Literal["table", "md", "json", "html"]


def render(report: Report, output_format: Format, width: int | None = None) -> str:
    """Return a report as text; a table has `width` columns, or as many as it needs."""
    content = report.content
    if output_format == "json":
        return json.dumps(content, indent=2) + "\n"
    parts = headline(content), remarks(content), sections(content)
    if output_format == "md":
        return markdown(*parts, hints=hints(content))
    if output_format == "table":
        return tables(*parts, width, hints=hints(content))
    from qhybrid.report.page import page

    return page(report)


def markdown(
    title: str, notes: Sequence[str], parts: Sequence[Section], *, hints: Sequence[str] = ()
) -> str:
    """Return tables as Markdown, below a title, remarks and hints."""
    lines = [f"# {title}", ""]
    lines += [f"- {note}" for note in (*notes, *hints)]
    for section in parts:
        lines += ["", f"## {section.title}", ""]
        figures = len(section.headings) - section.texts
        rule = ["---"] * section.texts + ["---:"] * figures
        for row in (section.headings, rule, *section.rows):
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        lines += [f"\n{note}" for note in section.notes]
    return "\n".join(lines) + "\n"


def tables(
    title: str,
    notes: Sequence[str],
    parts: Sequence[Section],
    width: int | None = None,
    *,
    hints: Sequence[str] = (),
) -> str:
    """Return tables for a terminal of `width` columns, below a title, remarks and hints."""
    from rich.console import Console

    written = io.StringIO()
    # Wide enough that nothing wraps where a program reads.
    console = Console(
        width=width or 1000, file=written, color_system=None, highlight=False, markup=False
    )
    console.print(title, soft_wrap=width is None)
    for note in notes:
        console.print(f"! {note}")
    for hint in hints:
        console.print(hint)
    for section in parts:
        console.print(f"\n{section.title}", _rich_table(section), *section.notes, sep="\n")
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def _rich_table(section: Section) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, heading in enumerate(section.headings):
        side: Literal["left", "right"] = "left" if index < section.texts else "right"
        table.add_column(Text(heading), justify=side, overflow="fold")
    for row in _without_repeats(section.rows):
        table.add_row(*(Text(cell) for cell in row))
    return table


def _without_repeats(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave the first cells of a row empty where they are those of the row above."""
    shown = []
    above: tuple[str, ...] = ()
    for row in rows:
        same = 0
        while same < min(2, len(row) - 1) and row[: same + 1] == above[: same + 1]:
            same += 1
        shown.append(("",) * same + row[same:])
        above = row
    return shown
